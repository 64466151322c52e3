# Ten times the mask loss: the paper's 0.1.
_base_ = ['ssa_crowd.py']

model = dict(head=dict(mask_loss=dict(loss_weight=1.)))

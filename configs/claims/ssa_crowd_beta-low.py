# A tenth of the mask loss: the paper's 0.001.
_base_ = ['ssa_crowd.py']

model = dict(head=dict(mask_loss=dict(loss_weight=0.01)))

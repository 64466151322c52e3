# Layer 0 supervised, with ten times the mask loss.
_base_ = ['ssa_crowd_layer0.py']

model = dict(head=dict(mask_loss=dict(loss_weight=1.)))

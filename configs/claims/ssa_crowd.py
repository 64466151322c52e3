# A small SSA on crowds of synthetic people, to measure the paper's claims:
# `tools/claims.py` trains it and its variants, each with several seeds.
# Data: mmpose-ssa synthesize data/crowds --size 160 --min-people 4
#           --max-people 8 --min-height 0.5 --train 6000 --val 500
_base_ = ['../demo/ssa_demo_plus.py']
from mmpose_ssa.engine.config import refit

refit(_base_, codec=dict(score_threshold=0.1))

# The backbone knows synthetic people, as the paper's knows ImageNet; what
# is compared, attention and head, starts from random weights.
model = dict(
    backbone=dict(
        init_cfg=dict(
            _delete_=True,
            type='Pretrained',
            checkpoint='weights/ssa_demo_naive.pth',
            prefix='backbone.')))

data_root = 'data/crowds/'
train_dataloader = dict(
    batch_size=8,
    num_workers=0,
    persistent_workers=False,
    dataset=dict(data_root=data_root))
val_dataloader = dict(
    num_workers=0,
    persistent_workers=False,
    dataset=dict(data_root=data_root))
test_dataloader = val_dataloader

# Beyond the paper. To be inherited beside a config of SSA, whose codec takes
# the better decoder and whose model is balanced, see `../ssa/*_plus.py`.
better_decoder = dict(matching='score_attraction', fill_missing='attention')

# Gradients in the backbone: the mask loss' are far larger at random weights.
balanced = dict(
    neck=dict(feature_gradient=0.1),
    # MMPose's deconvolutions of std 0.001 let little flow back
    head=dict(init_cfg=[
        dict(type='Kaiming', layer='ConvTranspose2d'),
        dict(type='Normal', layer='Conv2d', std=0.01),
        dict(type='Constant', layer='BatchNorm2d', val=1)
    ]))

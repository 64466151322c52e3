"""From annotations to training targets: heatmaps, masks, pairs."""

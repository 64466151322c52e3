"""From heatmaps and attention rows to persons with masks; numpy only."""

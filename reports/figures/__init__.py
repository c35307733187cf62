"""Figures: each function returns a matplotlib figure, ``save`` writes it as PNG and SVG, and its numbers as CSV."""

from reports.figures.curves import training_curves
from reports.figures.networks import feature_map, map_rows
from reports.figures.orders import order_comparison
from reports.figures.pictures import image_rows, tiles
from reports.figures.runs import (
    cost_front,
    interaction_map,
    response_curve,
    row_plot,
    varied_settings,
)
from reports.figures.search import (
    importance_table,
    importances,
    objective_front,
    parallel_coordinates,
    search_history,
)
from reports.figures.style import save, to_bytes

__all__ = [
    "cost_front",
    "feature_map",
    "image_rows",
    "importance_table",
    "importances",
    "interaction_map",
    "map_rows",
    "objective_front",
    "order_comparison",
    "parallel_coordinates",
    "response_curve",
    "row_plot",
    "save",
    "search_history",
    "tiles",
    "to_bytes",
    "training_curves",
    "varied_settings",
]

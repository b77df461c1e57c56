"""How several rounds become one figure."""

import statistics


def spread(values):
    """Median, smallest and largest."""
    ordered = sorted(values)
    return [float(f"{value:.4g}") for value in (statistics.median(ordered), ordered[0], ordered[-1])]


def slope(points):
    """Least squares: rise per unit, and value at zero."""
    mean_x = statistics.mean(x for x, _ in points)
    mean_y = statistics.mean(y for _, y in points)
    square = sum((x - mean_x) ** 2 for x, _ in points)
    rise = sum((x - mean_x) * (y - mean_y) for x, y in points) / square
    return rise, mean_y - rise * mean_x

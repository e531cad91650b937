"""What attacks on the span of the first layer share: the directions above the noise, independent components in them, images of these."""

from attacks.span.answer import Found, images
from attacks.span.directions import directions, remaining
from attacks.span.independent import components

__all__ = ["Found", "components", "directions", "images", "remaining"]

"""What attacks on the span of the first layer share: the directions above the noise, independent components in them, images of these."""

from attacks.span.answer import images
from attacks.span.directions import directions
from attacks.span.independent import components

__all__ = ["components", "directions", "images"]

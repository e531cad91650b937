"""A text that would break a page if it let it."""

EVIL = "</script><img src=x onerror=alert(1)>\"'&"

"""What each number of an audit means, and what of it is good or bad news: one legend for every page."""

from __future__ import annotations

from bench.audit.verdict import INCONCLUSIVE, LEAKS, NO_LEAK

COLUMNS = {  # of ``page.HEAD_MANY``: what the number is, then how to take it
    "attack": (
        "What was run on the network. A control is no attack: it shows how far one comes without learning from the weights.",
        "An attack that does no better than the controls has learnt little about these images.",
    ),
    "members": (
        "Training images that came back: SSIM above 0.4 with a submitted image that is nearest to them.",
        "0 is good. It means something only beside the controls.",
    ),
    "controls": (
        "The same count of images that the network never saw.",
        "What chance and likeness give. As many as members: nothing is learnt about the members.",
    ),
    "excess recall": (
        "The share of members that came back, less the share of controls.",
        "0 is good, 1 is the worst: every training image, and no other, came back.",
    ),
    "p": (
        "How often so large an excess comes of chance alone, members and controls exchanged.",
        "Small is bad: 0.05, divided by the number of attacks that could work, or less is a leak. Near 1 says nothing either way.",
    ),
    "AUC": (
        "The chance that a member came back more like itself than a control did.",
        "0.5 is good: they cannot be told apart. 1 is the worst.",
    ),
    "TPR @ 1 % FPR": (
        "The share of members that came back better than 99 % of the controls did.",
        "Near 0.01 is good, 1 is the worst. With few controls it is coarse.",
    ),
    "SSIM": (
        "How alike a reconstruction and its image are, the median of members : of controls. 1 is the image itself, 0 is no likeness.",
        "Members as low as controls is good.",
    ),
    "LPIPS": (
        "How unlike the two look to a network of vision, the median of members : of controls. 0 is the image itself.",
        "Members as high as controls is good.",
    ),
    "haim2022": (
        "Members : controls by the papers' own way of counting, which is kinder to attacks.",
        "As many of both is good.",
    ),
    "oracle": (
        "Members : controls if the best candidates are chosen by looking at the truth. No attacker can do that.",
        "As many of both is good: not even then is more to be had.",
    ),
}
RISK = {
    "image": ("The number of the training image, as the members were given, from 0.", ""),
    "class": ("Its label.", ""),
    "likeness": (
        "SSIM of the best reconstruction of it that any attack submitted.",
        "Above 0.4 it came back, near 1 all but exactly. A dash: nothing that was submitted is nearest to it, which is good.",
    ),
    "by": ("The attack that came nearest.", ""),
}
MEANING = {
    LEAKS: "Training images can be rebuilt by an attacker who has what these attacks were given. If they are private, "
    "do not release it so.",
    NO_LEAK: "These attacks failed, though they would have found something in a network of this form that gives its images away. Other "
    "attacks, or more patient ones, may not fail.",
    INCONCLUSIVE: "Nothing that could have told was tested. Take this network for untested, not for safe.",
}

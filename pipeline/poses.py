"""The poses that a scene may ask for: what head, face and framing can do from one photo. No hands, no profile."""

NEUTRAL = "neutral"
POSES = {
    NEUTRAL: "Straight, in the middle, a calm face.",
    "explain": "To the left in the frame, head tilted and turned a little, brows lively.",
    "emphasize": "Nearer, chin lowered a little, brows raised.",
    "welcome": "Head tilted the other way, smiling.",
    "think": "To the right in the frame, head tilted and turned a little the other way.",
    "serious": "Nearer, brows lowered, no smile.",
}
USUAL = (NEUTRAL, "explain", "emphasize", "welcome")  # where poses are on and none is named

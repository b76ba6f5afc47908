"""The local family: every capability with no key and no network."""

ADAPTERS = {
    "photo": "providers.local.photo:LocalPhoto",
    "neutral_image": "providers.local.neutral:LocalNeutral",
    "character_sheet": "providers.local.sheet:LocalSheet",
    "script": "providers.local.script:LocalScript",
    "storyboard": "providers.local.storyboard:LocalStoryboard",
    "speech": "providers.local.speech:LocalSpeech",
    "voice_sample": "providers.local.voice_sample:LocalSample",
    "voice_cloning": "providers.local.voices:LocalVoices",
    "background": "providers.local.background:LocalBackground",
    "pose": "providers.local.pose:LocalPose",
    "b_roll": "providers.local.b_roll:LocalCutaways",
    "lip_sync": "providers.local.lip_sync:LocalPortrait",
    "editing": "providers.local.editing:LocalEditor",
    "enhancement": "providers.local.enhancement:LocalEnhancer",
    "inspection": "providers.local.inspection:LocalInspector",
    "captions": "providers.local.captions:LocalCaptions",
}
# Asked the same, these make the same. Who makes one of them make something else raises its stage's version.
DETERMINISTIC = ("speech", "background", "pose", "b_roll", "lip_sync", "editing")

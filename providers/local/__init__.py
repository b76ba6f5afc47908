"""The local family: every capability with no key and no network."""

ADAPTERS = {
    "photo": "providers.local.photo:LocalPhoto",
    "neutral_image": "providers.local.neutral:LocalNeutral",
    "character_sheet": "providers.local.sheet:LocalSheet",
    "script": "providers.local.script:LocalScript",
    "storyboard": "providers.local.storyboard:LocalStoryboard",
    "speech": "providers.local.speech:LocalSpeech",
    "background": "providers.local.background:LocalBackground",
    "lip_sync": "providers.local.lip_sync:LocalPortrait",
    "editing": "providers.local.editing:LocalEditor",
    "enhancement": "providers.local.enhancement:LocalEnhancer",
    "captions": "providers.local.captions:LocalCaptions",
}

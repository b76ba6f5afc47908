"""fal.ai: models behind a queue, paid by what they make.

What fal has taken is polled, and hastened by its webhooks. It takes no idempotency key and cannot be asked for our
reference: a request whose answer was lost may have to be paid, and a person decides.
"""

ADAPTERS = {"background": "providers.fal.background:FalBackground"}
OPERATIONS = {"background": "providers.fal.background:PaintBackground"}
WEBHOOK = "providers.fal.hook:read"

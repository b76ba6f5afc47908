"""Jobs whose speech is bought: the API, the tools of workers, and a vendor that keeps books."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from sqlalchemy import select

from db.models import ProviderCall
from pipeline.ports import CAPABILITIES
from pipeline.settings import Vendor as Account
from tests import paid
from tests.api import Caller, payload, serve
from tests.vendors.paid import Vendor, open_vendor
from tests.workshop import Workshop

STEP = "scene/1/speech"
PRICE = Decimal("0.05")
NEVER_S = 3600.0
# by what the vendor's counter can do for who does not know: who asks there is answered at once, or later
NOW = {"idempotent": 1, "findable": 3, "neither": 5}
LATER = {"idempotent": 2, "findable": 4, "neither": 6}


@dataclass(frozen=True)
class Shop:
    """A job whose speech is bought."""

    vendor: Vendor
    workshop: Workshop
    avatar: str

    @property
    def caller(self) -> Caller:
        return self.workshop.api.product

    def submit(self, counter: int, text: str = "One.", **more: Any) -> str:
        asked = {"avatar_id": self.avatar, "script": {"text": text}, "seed": paid.seed(speech=counter)}
        return self.workshop.submit(self.caller, "outputs", payload("output.generate/1", **asked | more))

    def cancel(self, job_id: str) -> None:
        assert self.caller.post(f"/v1/jobs/{job_id}/cancel").status_code == 202

    def retry(self, job_id: str, **more: Any) -> None:
        answer = self.caller.post(f"/v1/jobs/{job_id}/retries", {"contract": "job.retry/1"} | more)
        assert answer.status_code == 202, answer.text

    def job(self, job_id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.caller.get(f"/v1/jobs/{job_id}").get_json()
        return found

    def stages(self, job_id: str) -> dict[str, dict[str, Any]]:
        return {each["key"]: each for each in self.caller.get(f"/v1/jobs/{job_id}/stages").get_json()["stages"]}

    def calls(self) -> list[ProviderCall]:
        with self.workshop.api.database.transaction() as session:
            return list(session.scalars(select(ProviderCall).order_by(ProviderCall.id)))

    def cost(self, job_id: str) -> Decimal:
        return Decimal(self.job(job_id)["cost"]["amount"])


@contextmanager
def open_shop(database_url: str, storage_url: str, folder: Path) -> Iterator[Shop]:
    with open_vendor() as vendor:
        account = {"BASE_URL": vendor.url, "JOURNAL": str(folder / "journal")}
        providers = dict.fromkeys(CAPABILITIES, ("tests.filed",)) | {"speech": ("tests.paid",)}
        vendors = {"tests.paid": Account("tests.paid", account)}
        api = serve(database_url, storage_url, providers=providers, vendors=vendors)
        workshop = Workshop.of(api, speech="tests.paid")
        yield Shop(vendor, workshop, workshop.avatar(api.product, workshop.upload(api.product)))
        api.database.dispose()

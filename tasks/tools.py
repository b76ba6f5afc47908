"""The tools of one attempt: house ports bound to the step, and adapters that use them."""

from typing import Any

from db import assets, avatars, voices
from db.claims import Claim
from pipeline.assets import Asset
from pipeline.errors import AssetDamaged, IdentityMissing, VoiceMissing
from pipeline.ports import (
    CAPABILITIES,
    AssetStore,
    ClonedVoice,
    Identities,
    Identity,
    MediaSource,
    Neutral,
    Provenance,
    Voices,
    VoiceTraits,
)
from pipeline.snapshots import Person, PhotoSource, VoiceSample
from providers.provenance import Signer
from schemas import records as codec
from tasks.house import House
from tasks.ledger import StepLedger
from tasks.serving import Served
from tasks.store import StepAssets, holder, undeleted


class ClientIdentities:
    """The avatars of the job's client."""

    def __init__(self, house: House, held: Claim, store: StepAssets) -> None:
        self._house = house
        self._held = held

    def save(self, person: Person, neutral: Neutral, sheet: Asset, voice_id: str | None = None) -> str:
        with undeleted(self._held.job_id):
            return self._house.database.patiently(
                lambda session: avatars.save(
                    session,
                    client=self._held.client,
                    job_id=self._held.job_id,
                    name=person.name,
                    consent=codec.dump(person.consent),
                    neutral=codec.dump(neutral),
                    sheet=codec.dump(sheet),
                    voice_id=voice_id,
                )
            )

    def load(self, avatar_id: str, voice_id: str | None = None) -> Identity:
        row = self._house.database.patiently(lambda session: avatars.find(session, avatar_id, client=self._held.client))
        if row is None:
            raise IdentityMissing(f"There is no avatar {avatar_id} any more. Create one, or name another.")
        voice = self._voice(voice_id or row.voice_id)
        return Identity(row.id, row.version, row.name, codec.load(row.neutral, Neutral), voice)

    def _voice(self, voice_id: str | None) -> ClonedVoice | None:
        if voice_id is None:
            return None
        row = self._house.database.patiently(lambda session: voices.find(session, voice_id, client=self._held.client))
        if row is None:
            raise VoiceMissing(f"There is no voice {voice_id} any more. Create one, or name another.")
        return codec.load(row.model, ClonedVoice)


class ClientVoices:
    """The voices of the job's client."""

    def __init__(self, house: House, held: Claim, store: StepAssets) -> None:
        self._house = house
        self._held = held

    def save(self, person: Person, voice: ClonedVoice, *, sample: Asset, traits: VoiceTraits, preview: Asset) -> str:
        with undeleted(self._held.job_id):
            return self._house.database.patiently(
                lambda session: voices.save(
                    session,
                    client=self._held.client,
                    job_id=self._held.job_id,
                    name=person.name,
                    consent=codec.dump(person.consent),
                    model=codec.dump(voice),
                    traits=codec.dump(traits),
                    sample=codec.dump(sample),
                    preview=codec.dump(preview),
                )
            )


class ClientMedia:
    """Uploads of the job's client, and files from the web."""

    def __init__(self, house: House, held: Claim, store: StepAssets) -> None:
        self._house = house
        self._held = held
        self._store = store

    def take(self, source: PhotoSource | VoiceSample) -> Asset:
        if source.url is not None:
            return self._fetch(source.url, "photo" if isinstance(source, PhotoSource) else "voice_sample")
        asset_id = source.asset_id or ""
        row = self._house.database.patiently(lambda session: assets.find(session, asset_id, client=self._held.client))
        if row is None:
            raise AssetDamaged(f"There is no asset {asset_id} any more. Upload the file again.", asset=asset_id)
        return assets.asset(row)

    def _fetch(self, url: str, kind: str) -> Asset:
        with self._store.scratch() as folder:
            file = folder / "fetched"
            media_type = self._house.fetcher.fetch(url, file)
            return self._store.keep(file, kind=kind, media_type=media_type, facts={"url": url.partition("?")[0]})


class HouseProvenance(Signer):
    """The service's own certificate."""

    def __init__(self, house: House, held: Claim, store: StepAssets) -> None:
        super().__init__(store, house.settings.certificate)


PORTS: dict[type, Any] = {
    Identities: ClientIdentities,
    Voices: ClientVoices,
    MediaSource: ClientMedia,
    Provenance: HouseProvenance,
}


class Toolbox:
    """Gives a stage what it needs, and remembers which family of adapters served, and which did not and why."""

    def __init__(self, house: House, held: Claim) -> None:
        self._house = house
        self._held = held
        self.assets = StepAssets(house.storage, holder(house.database, held.job_id))
        self.ledger = StepLedger(house, held, self.assets)
        self._served: list[Served] = []

    @property
    def provider(self) -> str | None:
        """The family that served last."""
        return next((each.provider for each in reversed(self._served) if each.provider), None)

    @property
    def passed_over(self) -> list[dict[str, str]]:
        return [reason for each in self._served for reason in each.passed_over]

    def tools(self) -> dict[str, Any]:
        return {name: self._tool(kind) for name, kind in self._held.step.stage.needs.items()}

    def _tool(self, kind: type) -> Any:
        if kind is AssetStore:
            return self.assets
        if kind in PORTS:
            return PORTS[kind](self._house, self._held, self.assets)
        capability = next(name for name, protocol in CAPABILITIES.items() if protocol is kind)
        candidates = self._house.catalogue.candidates(capability, self.assets, self.ledger)
        last = self._held.tried + 1 >= self._held.step.stage.tries
        self._served.append(Served(capability, candidates, last_try=last))
        return self._served[-1]

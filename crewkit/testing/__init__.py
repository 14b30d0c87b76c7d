"""What users need to test their own crews, models, journals and memories."""

from crewkit.models.generated import GeneratedModel
from crewkit.models.recorded import RecordedModel
from crewkit.models.scripted import ScriptedModel, call
from crewkit.testing.cassette import Cassette
from crewkit.testing.clock import FakeClock

__all__ = ["Cassette", "FakeClock", "GeneratedModel", "RecordedModel", "ScriptedModel", "call"]

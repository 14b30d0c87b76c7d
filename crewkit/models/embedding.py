"""Embedding models of any provider, as memory wants them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from crewkit.models.http import refuse_real_model
from crewkit.models.litellm import embed_texts
from crewkit.models.prices import Prices
from crewkit.models.resolve import reached

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vectors = NDArray[np.float32]

AT_ONCE = 100
"""Texts in one request."""


class ModelEmbedder:
    """An embedding model by litellm's name for it, for example `openai/text-embedding-3-small`."""

    def __init__(self, name: str, *, environ: Mapping[str, str], timeout: float = 10.0) -> None:
        """Describe the embedder; nothing is asked before the first text.

        Args:
            name: As litellm writes it.
            environ: Where the key and base URL are looked up.
            timeout: Seconds for one request, and one more for each text in it. A recall waits for one text only.

        Raises:
            DefinitionError: There is no such provider, or no key for it.
        """
        self._way = reached(name, environ)
        refuse_real_model(name, self._way.host, environ)
        self.id = self._way.full_name
        self._timeout = timeout
        self._dimension = Prices().vector_size(self.id)

    @property
    def dimension(self) -> int:
        """Numbers in a vector; asks the model where the price list does not say."""
        if self._dimension is None:
            self.embed(["dimension"])
        assert self._dimension is not None
        return self._dimension

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Return one row of length 1 for each text. Blocks.

        Raises:
            ModelError: There were none; litellm's own error is its cause.
        """
        import numpy as np

        rows: list[list[float]] = []
        for start in range(0, len(texts), AT_ONCE):
            some = [text or " " for text in texts[start : start + AT_ONCE]]  # providers refuse an empty one
            timeout = self._timeout + len(some)
            rows += embed_texts(self.id, some, self._way.base, self._way.key, timeout)
        vectors = np.array(rows, np.float32).reshape(len(texts), -1)
        self._dimension = vectors.shape[1] if len(texts) else self._dimension
        return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)

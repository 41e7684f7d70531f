"""The batch sampler."""

from __future__ import annotations

import json
import logging
import os
import zipfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np

from lookalike import _arrays, _frames, _lookalike, _options
from lookalike._arrays import ArrayLike, Floats, Integers
from lookalike._graphs import Graph
from lookalike._options import Coverage, Kind, Pairs, Schedule, Scoring
from lookalike._reports import SamplerReport, sampler_in_words

_LOG = logging.getLogger("lookalike")

#: Of what `LookalikeBatchSampler.state_dict` gives.
VERSION = 1


class LookalikeBatchSampler:
    """Mini-batches of instances that look alike, after BatchSampler (Yang et al., KDD 2023).

    It goes wherever PyTorch takes a batch sampler, ``DataLoader(dataset, batch_sampler=sampler)``: iterating gives lists of
    indices, one epoch at a time. What training makes of a batch goes back by `update`; every `refresh_every` batches a
    proximity graph is built anew from the newest embedding of each instance, and batches are collected by random walks over
    it. Instances without an embedding get their share of each batch at random.

    A loader with workers asks for batches before they are trained on. A refresh so takes effect after what is prefetched, and
    `state_dict` must be told how many batches were consumed.

    Without another call to `set_epoch` each iteration is the next epoch, also where the one before was left early; but one that
    gave its loop at most one batch, after which nothing was recorded by `update`, was only a look, and its batches come again.
    Only the newest iteration may go on; an older one raises `RuntimeError`.

    How hard batches are is one dial, `hardness_share`: 0 is uniform, 1 as hard as batches of nearest neighbours. Who rather sets M, K and the
    restart probability as a paper does gives those instead.

    Arms of an experiment differ in `kind` alone: what a kind does not read of `hardness_share`, `candidates`, `neighbors`, `restart`,
    `coverage` and `refresh_every` has no effect under it. What only graphs have, a ceiling for instance, is refused for uniform batches.

    Args:
        n: instances of the data set, N.
        batch_size: instances a batch, B; with several replicas of each of them.
        kind: ``"walk"``: random walks with restart; ``"nearest"``: an instance with its nearest neighbours of all (the paper's
            baseline); ``"gcbs"``: stretches of an order in which neighbours stand close (Sachidananda et al. 2023); ``"clusters"``: clusters of B by
            balanced two-means (NGAME, TAS-B); or ``"uniform"``.
        hardness_share: how hard batches of walks are to be, as a share of the way from uniform batches, 0, to batches of nearest
            neighbours, 1, under the same coverage. Candidates, neighbours and restart are found on the embeddings, at the first refresh of each epoch,
            for about the cost of one graph; `report` says what they came to. A triple goes linearly from the first share to the
            second over as many epochs as the third says.
        budget: with `hardness_share` and `epoch_seconds`: the share of an epoch's time that its graphs may take. What that allows is
            said where it is less than was asked for; it depends on how fast this machine is.
        epoch_seconds: seconds that an epoch of training takes, where that is known.
        candidates: random others that each instance is compared with at a refresh, M; more make harder batches. By default 1000, as
            published, or all N - 1; lowered to N - 1 with a warning.
        neighbors: most similar of them that it is tied to, K; fewer make harder batches. By default 100, as published, or all candidates.
        restart: probability of going back to the start at each step of a walk; a triple falls linearly from the first to the second
            over as many epochs as the third says. By default as published: (0.2, 0.05, 7.5).
        coverage: ``"cover"`` gives each instance at most once an epoch, and all but the remainder exactly once; with ``"repeat"``, as
            published, instances recur in other batches, and some do not come at all.
        refresh_every: batches that are handed out from one build of the graph to the next.
        uniform_epochs: first epochs, whose batches are uniform while they gather embeddings; by default 1, or 0 with
            `embeddings`.
        groups: (N,) integers; instances with the same one (duplicates, views of a scene, sentences of a document) never share a
            batch. One with -1 or NaN may meet anybody. ``"near-duplicates"`` finds them in `embeddings`, see `near_duplicates`.
        temperature: where given, walks go to a neighbour of similarity s with a probability in proportion to
            exp(s / temperature); otherwise to all alike, as published.
        uniform_fraction: share of each batch that is drawn uniformly instead.
        similarity_ceiling: nobody shares a batch with an instance of a higher similarity, as far as their embeddings are known: such
            instances are likely the same thing. Where nobody below it is left the place goes to an instance that the epoch had already, or
            if there is none of those either to one above, with a warning; the report counts both.
        pair_percentile: the same, with the similarity that this percentage of all pairs of instances do not exceed.
        edge_percentile: the same, with the similarity that this percentage of the graph's edges do not exceed.
        pairs: for instances that are pairs of a query and its document, whose embeddings are (queries, documents) of (N, d) each, or one
            array (N, 2d) with both side by side. Each is scaled to unit length. ``"mean"`` compares pairs by their means (q + d)/2,
            ``"cross"`` by the larger one of the similarities of query i to document j and of query j to document i, which is what a loss with
            in-batch negatives contrasts. The hardness of `report` is then that of queries to the documents of others.
        similarity_to_positive: with `pairs` i and j do not share a batch where query i is closer to document j than this share of its
            similarity to its own document, or query j to document i: document j may answer query i just as well. Published for mined
            negatives: 0.95. With a ceiling two instances must be below both.
        batch_order: the order of the batches from one refresh to the next. ``"planned"`` has the hard ones first under ``"cover"``, for
            instances that are left to the end are far from each other; ``"shuffled"`` draws it, so that a falling learning rate meets hard and easy
            ones alike.
        scoring: with ``"bf16"`` candidates are compared by rounded numbers first, as in `lookalike.proximity_graph`.
        last_batch: ``"drop"`` leaves out the N mod B instances that do not fill a batch, others each epoch; ``"keep"`` gives a
            smaller last batch.
        seed: of every random number; the same on all replicas.
        rank, num_replicas: this process among those that share the batches, W. Each gets ⌊⌊N/B⌋/W⌋ batches an epoch. All must
            give `update` the same embeddings, those of all, gathered; compare `agreement` to be sure.
        split: with ``"batches"`` each batch belongs to one replica; with ``"within"`` B·W look-alikes are shared out, B for each,
            for losses that gather.
        embeddings: (N, d), where embeddings are known before training, of a file for instance, which is copied block by block; with
            `pairs` as said there.
        oracle, avoid: (N,) labels, -1 or NaN for none, for analysis only: walks do not use edges within a class (``"edges"``) or do not collect
            members of their start's class (``"members"``).

    Raises:
        ValueError: for an option that is out of range or does not go with another, by name; for groups that cannot be kept apart;
            for arrays of another shape or type.

    """

    def __init__(
        self,
        n: int,
        *,
        batch_size: int = 256,
        kind: Kind = "walk",
        hardness_share: Schedule | None = None,
        budget: float | None = None,
        epoch_seconds: float | None = None,
        candidates: int | None = None,
        neighbors: int | None = None,
        restart: Schedule | None = None,
        coverage: Coverage = "cover",
        refresh_every: int = 100,
        uniform_epochs: int | None = None,
        groups: ArrayLike | Literal["near-duplicates"] | None = None,
        temperature: float | None = None,
        uniform_fraction: float = 0.0,
        similarity_ceiling: float | None = None,
        pair_percentile: float | None = None,
        edge_percentile: float | None = None,
        pairs: Pairs | None = None,
        similarity_to_positive: float | None = None,
        scoring: Scoring = "f32",
        last_batch: Literal["drop", "keep"] = "drop",
        batch_order: Literal["planned", "shuffled"] = "planned",
        seed: int = 0,
        rank: int = 0,
        num_replicas: int = 1,
        split: Literal["batches", "within"] = "batches",
        embeddings: ArrayLike | None = None,
        oracle: ArrayLike | None = None,
        avoid: Literal["edges", "members"] = "edges",
    ) -> None:
        """Checks all options at once."""
        instances = _arrays.count("n", n)
        if uniform_epochs is None:
            uniform_epochs = 1 if embeddings is None else 0
        options = _options.as_json(
            kind=kind,
            batch_size=batch_size,
            hardness_share=hardness_share,
            budget=budget,
            epoch_seconds=epoch_seconds,
            candidates=candidates,
            neighbors=neighbors,
            restart=restart,
            coverage=coverage,
            refresh_every=refresh_every,
            uniform_epochs=uniform_epochs,
            uniform_fraction=uniform_fraction,
            temperature=temperature,
            similarity_ceiling=similarity_ceiling,
            pair_percentile=pair_percentile,
            edge_percentile=edge_percentile,
            pairs=pairs,
            similarity_to_positive=similarity_to_positive,
            scoring=scoring,
            last_batch=last_batch,
            batch_order=batch_order,
        )
        arguments = {
            "instances": instances,
            "options": options,
            "seed": _arrays.count("seed", seed),
            "groups": _options.groups(groups, instances, embeddings, pairs),
            "oracle": _arrays.one_label_each("oracle", oracle, instances),
            "avoid": avoid,
            "rank": _arrays.count("rank", rank),
            "num_replicas": _arrays.count("num_replicas", num_replicas, 1),
            "split": split,
        }
        self._set_arguments(arguments)
        self._warn()
        if embeddings is not None:
            rows = _arrays.matrix("embeddings", embeddings, self._n, pairs=self._pairs)
            for first, block in rows.blocks():
                self._native.record(np.arange(first, first + len(block)), block)

    def _set_arguments(self, arguments: dict[str, Any]) -> None:
        """Begins with the arguments of the native sampler, which a pickle holds too."""
        options = json.loads(arguments["options"])
        self._arguments, self._n, self._pairs = arguments, arguments["instances"], options.get("pairs") is not None
        #: Whether `state_dict` gives light states where it is not said: for torchdata's StatefulDataLoader, which asks without.
        self.light_states = False
        self.batch_size, self.drop_last = options["batch_size"], options["last_batch"] == "drop"
        self.seed, self.rank, self.num_replicas = arguments["seed"], arguments["rank"], arguments["num_replicas"]
        self._native = _lookalike.Sampler(**arguments)
        #: The epoch of the newest iteration, and the place of the first batch in it that this object handed out.
        self._epoch, self._first = 0, 0
        #: Of the batches of a loaded state those that were handed out again, and those that are still to be.
        self._repeated: list[list[int]] = []
        self._pending: deque[list[int]] = deque()
        self._resuming = False
        self._asked_epoch: int | None = None
        self._iterations = 0
        #: What `load_embeddings` read, for a light state that is loaded after it.
        self._apart: dict[str, Any] | None = None
        #: Of the newest iteration: the loader that it is for, if any, and whether it came to its end, or was trained on.
        self._loader: _frames.Loader | None = None
        self._finished, self._recorded = True, False
        self._warned: set[str] = set()

    def _warn(self) -> None:
        """Passes on what was put right, each kind of it once: it can come about at each refresh. The log has what a new graph led to."""
        if (news := self._native.take_news()) is not None:
            _LOG.info(news)
        for message in self._native.take_warnings():
            kind = message.partition(" ")[0]
            if kind not in self._warned:
                self._warned.add(kind)
                _arrays.warn([message])

    def __len__(self) -> int:
        """Batches of an epoch: ⌊N/B⌋, or ⌈N/B⌉ where the last one is kept; ⌊⌊N/B⌋/W⌋ for each of W replicas."""
        return self._native.batches_per_epoch

    def __iter__(self) -> Iterator[list[int]]:
        """The batches of the next epoch, or what is left of the one whose state was loaded."""
        if self._loader is not None:
            self._loader.settle()
        return self._batches()

    def _batches(self) -> Iterator[list[int]]:
        consumer = _frames.consumer()
        self._check_ranks(consumer)
        epoch, iteration = self._begin_epoch()
        self._loader = consumer.loader
        while True:
            if iteration != self._iterations:
                raise RuntimeError("another iteration over this sampler has begun, and only the newest may go on")
            if self._pending:
                self._repeated.append(self._pending.popleft())
                yield list(self._repeated[-1])
                continue
            batch = self._native.next_batch(epoch)
            self._warn()
            if batch is None:
                self._finished = True
                return
            yield batch

    def _check_ranks(self, consumer: _frames.Consumer) -> None:
        """Where ranks were found, not given: that nobody else shares batches out too."""

    def _begin_epoch(self) -> tuple[int, int]:
        if not self._resuming and self._asked_epoch in (None, self._epoch) and self._was_only_looked_into():
            self._pending = deque(self._handed_from(0))
        elif not self._resuming:
            native = self._native
            epoch = native.epoch + (native.position > 0) if self._asked_epoch is None else self._asked_epoch
            native.set_epoch(epoch)
            self._epoch, self._first, self._pending = epoch, 0, deque()
        self._native.forget()
        self._repeated, self._apart = [], None
        self._resuming, self._asked_epoch = False, None
        self._finished, self._recorded = False, False
        self._iterations += 1
        return self._epoch, self._iterations

    def _was_only_looked_into(self) -> bool:
        """Whether the newest iteration gave its loop no more than one batch, and nothing came of it."""
        handed = self.position - self._first
        if handed == 0 or self._recorded:
            return False
        if self._loader is None:
            return handed == 1 and not self._finished
        loader, whole = self._loader, handed + self._first >= len(self)
        # Workers that persist count anew before they ask: then nothing seems to have been given.
        if loader.given > 1 or (whole and loader.given != 1) or (whole and len(self) <= loader.shares):
            return False
        return handed <= loader.shares * (1 + loader.ahead)

    def _handed_from(self, skip: int) -> list[list[int]]:
        """The batches of this epoch that were handed out, and those of a loaded state that still are to be, without the first."""
        repeated = [*self._repeated, *self._pending]
        members, sizes = self._native.handed_from(max(skip - len(self._repeated), 0))
        return repeated[min(skip, len(self._repeated)) :] + _parted(members, sizes)

    def set_epoch(self, epoch: int) -> None:
        """Says which epoch the next iteration is, from 0. A loaded state in the middle of that epoch goes on there."""
        epoch = _arrays.count("epoch", epoch)
        if self._resuming and epoch == self._epoch:
            return
        if self._resuming and epoch < self._epoch:
            message = (
                f"the loaded state is in the middle of epoch {self._epoch}, and what is left of it is given up for epoch {epoch}; "
                "a loader that accelerate prepared needs loader.set_epoch"
            )
            _arrays.warn([message])
        self._resuming, self._asked_epoch = False, epoch

    @property
    def epoch(self) -> int:
        """The epoch of the newest iteration, or of the loaded state, from 0."""
        return self._epoch

    @property
    def position(self) -> int:
        """Batches of that epoch that were handed out."""
        return self._first + len(self._repeated) + self._native.handed

    @property
    def first_batch(self) -> int:
        """The place in its epoch of the first batch that the next iteration gives: 0, unless it goes on from a loaded state.

        With ``enumerate(loader, start=sampler.first_batch)`` batches are counted as `state_dict` counts them.
        """
        return self._first if self._resuming else 0

    @property
    def steps(self) -> int:
        """Batches handed out in all, by which refreshes come and embeddings age."""
        return self._native.steps

    def update(self, indices: ArrayLike, embeddings: ArrayLike) -> None:
        """Takes embeddings that training produced. They count from the next refresh on.

        They are scaled to unit length and replace older ones of the same instances; of an instance that comes twice the last
        one stays. They are copied once, into the sampler's store, and other threads can go on meanwhile. A row of zeros is
        similar to nobody. On an error nothing is taken.

        Args:
            indices: (n,) instances; what the batches held.
            embeddings: (n, d), of any floating-point type, from NumPy or a PyTorch tensor on the CPU, or as the package's documentation says
                else; d must never change. With `pairs` (queries, documents) of (n, d) each, or (n, 2d) with both side by side.

        Raises:
            ValueError: for shapes or types that do not fit, an index out of range, and a row with NaN or an infinity, which is
                named by its instance.

        """
        rows = _arrays.embeddings("embeddings", embeddings, pairs=self._pairs)
        which = _arrays.integers("indices", indices)
        if len(rows) != len(which):
            raise ValueError(f"embeddings of shape {rows.shape} do not fit indices of shape {which.shape}")
        self._native.record(which, rows)
        self._recorded = True

    def state_dict(self, consumed: int | None = None, *, light: bool | None = None) -> dict[str, Any]:
        """All that `load_state_dict` needs to go on from here as if nothing had happened.

        Args:
            consumed: batches of the running epoch, counted from its beginning, that were trained on. A loader with workers has asked
                for more; those are handed out again after loading. Without it the state is that of all batches handed out: right
                for a loop over the sampler itself, but after a ``DataLoader`` with workers what it had prefetched is lost.
            light: leaves embeddings and graph out, as loaders need that ask for a state after every batch; by default what
                `light_states` says. Save those by `save_embeddings` beside the last of these states.

        Returns:
            Numbers, text and NumPy arrays. Embeddings and graph are among them, 4·N·d + 8·N·K bytes; of a light state only the batches
            that are planned up to the next graph.

        Raises:
            ValueError: where so many batches were not handed out, or a loaded state began after them; without `consumed` where
                it must be said.

        """
        handed = self.position
        if consumed is None:
            self._check_all_given()
            consumed = handed
        consumed = _arrays.count("consumed", consumed)
        if not self._first <= consumed <= handed:
            began = f" from batch {self._first} on" if self._first else ""
            raise ValueError(
                f"consumed = {consumed} is out of range: of epoch {self._epoch} batches up to {handed} were handed out{began}; "
                "it counts from the beginning of the epoch"
            )
        members, sizes = _arrays.batches(self._handed_from(consumed - self._first))
        state, arrays = self._native.state(self.light_states if light is None else light)
        return {
            "version": VERSION,
            "state": state,
            "arrays": arrays,
            "epoch": self._epoch,
            "consumed": consumed,
            "rank": self.rank,
            "pending": members,
            "pending_sizes": sizes,
            "asked_epoch": self._asked_epoch,
        }

    def _check_all_given(self) -> None:
        """That a loader has given all batches that it asked for."""
        loader, handed = self._loader, self.position - self._first
        if loader is None or (self._finished and not loader.is_open):
            return
        if handed > loader.given * loader.shares:
            raise ValueError(
                f"{handed + self._first} batches of epoch {self._epoch} were handed out, and of these the data loader has surely given "
                f"{loader.given * loader.shares + self._first}; say how many were trained on: state_dict(consumed=)"
            )

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on from a state that `state_dict` gave. Of several replicas each loads its own; where none has pending batches
        (``consumed`` says that all that were handed out were used) all can load that of any one of them.

        The next iteration gives what is left of the state's epoch, unless `set_epoch` names another one.

        Raises:
            ValueError: where the state is damaged, or of another data set, seed, group, or set of options, or has pending
                batches of another replica; nothing changes then.

        """
        try:
            version, native, rank = state["version"], state["state"], _arrays.count("rank", state["rank"])
            arrays = {name: _arrays.as_numpy(name, array) for name, array in state["arrays"].items()}
            epoch, consumed = _arrays.count("epoch", state["epoch"]), _arrays.count("consumed", state["consumed"])
            asked = state["asked_epoch"]
            sizes = _arrays.integers("pending_sizes", state["pending_sizes"])
            members = _arrays.integers("pending", state["pending"])
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"this is no state of a LookalikeBatchSampler: {error!r}") from None
        if version != VERSION:
            raise ValueError(f"the state has version {version!r}; this package reads {VERSION}")
        if (sizes < 1).any() or sizes.sum() != len(members) or ((members < 0) | (members >= self._n)).any():
            raise ValueError(f"the state's {len(sizes)} pending batches do not fit {self._n} instances")
        if len(sizes) and rank != self.rank:
            raise ValueError(
                f"the state's {len(sizes)} pending batches are those of rank {rank}; this is rank {self.rank}"
            )
        pending = _parted(members, sizes)
        restored = _lookalike.Sampler(**self._arguments)
        restored.restore(native, {name: np.ascontiguousarray(array) for name, array in arrays.items()})
        restored.take_warnings()
        if self._apart is not None and json.loads(native).get("light") is not None:
            restored.load_embeddings(self._apart)
        if consumed + len(sizes) > len(self):
            raise ValueError(f"{consumed} consumed and {len(sizes)} pending batches do not fit an epoch of {len(self)}")
        asked = None if asked is None else _arrays.count("asked_epoch", asked)
        handed = consumed + len(sizes)
        expected = (epoch, handed) if handed < len(self) else (epoch + 1, 0)
        if asked is None and (restored.epoch, restored.position) != expected:
            at = f"batch {restored.position} of epoch {restored.epoch}"
            raise ValueError(
                f"the state's {consumed} consumed and {len(sizes)} pending batches of epoch {epoch} do not lead to {at}, where it is"
            )
        self._native = restored
        self._repeated, self._pending = [], deque(pending)
        self._asked_epoch = asked
        self._resuming = asked is None and (bool(pending) or self._native.position > 0)
        self._epoch, self._first = (epoch, consumed) if self._resuming else (self._native.epoch, 0)
        self._loader, self._finished = None, True
        self._iterations += 1

    def save_embeddings(self, path: str | os.PathLike[str]) -> None:
        """Writes what light states leave out, the embeddings and the graph in use, to a ``.npz``: a whole one, or none.

        Save it when a light state is saved that is to be gone on from: it may be up to 1000 calls of `update` newer.

        Raises:
            ValueError: before any embedding was given, and for a path of another ending.

        """
        path = _npz(path)
        arrays = self._native.saved_embeddings()
        unfinished = path.with_name(f"{path.name}.{os.getpid()}.npz")
        try:
            save: Callable[..., None] = np.savez
            save(unfinished, **arrays)
            os.replace(unfinished, path)
        finally:
            unfinished.unlink(missing_ok=True)

    def load_embeddings(self, path: str | os.PathLike[str]) -> None:
        """Reads what `save_embeddings` wrote, in the place of the embeddings there are: before the next batch, and before or after
        the light state is loaded.

        Raises:
            ValueError: for a file that is damaged or of another data set, and for embeddings that are not those of the light
                state's run; nothing changes then.

        """
        path = _npz(path)
        try:
            with np.load(path, allow_pickle=False) as file:
                arrays = {name: np.ascontiguousarray(file[name]) for name in file.files}
        except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise ValueError(f"the embeddings {path} cannot be read: {error}") from None
        try:
            self._native.load_embeddings(arrays)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None
        self._apart = arrays

    def report(self) -> SamplerReport:
        """The sampler in numbers: where the members of batches came from and how hard they are, by tenth of the epoch.

        Attributes are those of `SamplerReport`, which `to_dict` gives for JSON and `plot` draws.
        """
        return SamplerReport.read(json.loads(self._native.report()))

    @property
    def graph(self) -> Graph | None:
        """A copy of the graph in use, without the edges that are not walked; None before the first refresh."""
        native = self._native.graph()
        return None if native is None else Graph(native)

    @property
    def embeddings(self) -> Floats | None:
        """A copy (N, d) of the newest embeddings, of unit length, zeros for instances without one; None before the first.

        With `pairs` (N, 2d), each half of unit length.
        """
        return self._native.embeddings()

    def agreement(self) -> str:
        """A short text that is the same on all replicas that will get parts of the same batches; see `check_agreement`."""
        return self._native.agreement()

    def __getstate__(self) -> dict[str, Any]:
        """For pickling: the arguments, and the state of all batches handed out."""
        return {"arguments": self._arguments, "state": self.state_dict(self.position, light=False)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """From pickling."""
        self._set_arguments(state["arguments"])
        self.load_state_dict(state["state"])

    def __repr__(self) -> str:
        """Its size, where it is, and how hard its batches are."""
        kind = json.loads(self._arguments["options"])["kind"]
        told = [f"n={self._n}, batch_size={self.batch_size}, kind={kind!r}"]
        told += sampler_in_words(self.report(), len(self), self.position)
        return f"{type(self).__name__}({', '.join(told)})"


def _npz(path: str | os.PathLike[str]) -> Path:
    if Path(path).suffix != ".npz":
        raise ValueError(f"{os.fspath(path)} ends otherwise than .npz, in which embeddings are saved")
    return Path(path)


def _parted(members: Integers, sizes: Integers) -> list[list[int]]:
    """Batches, whose members are given one after another, and their sizes."""
    return [part.tolist() for part in np.split(members, np.cumsum(sizes)[:-1])] if len(sizes) else []


def check_agreement(agreements: Iterable[str]) -> None:
    """Checks that all replicas will get parts of the same batches.

    Args:
        agreements: `LookalikeBatchSampler.agreement` of each, by rank: what ``torch.distributed.all_gather_object`` gathered.

    Raises:
        ValueError: names the first replica that differs from the one of rank 0, and in what.

    """
    _lookalike.check_agreement(list(agreements))

"""Scores of all pairs, re-ranking and FAISS on the device, against the CPU."""

import time

import numpy as np

from facever.embeddings.embedding_set import EmbeddingSet
from facever.evaluate import verification
from tools.gpu.context import Context, Finding, judged, lacking


def all_pairs(context: Context) -> list[Finding]:
    """Compare the verification of all pairs with the CPU's: equal counts and thresholds."""
    faces = _faces(40_000 if context.on_gpu else 400)
    seconds, results = [], []
    for device in ("cpu", context.device):
        began = time.perf_counter()
        result = verification(faces, far=[1e-2, 1e-3], device=device).to_dict()
        seconds.append(time.perf_counter() - began)
        results.append(result)
    equal = results[0] == results[1]
    said = f"{len(faces):,} rows; CPU {seconds[0]:.1f} s, {context.device} {seconds[1]:.1f} s"
    return [judged("scores of all pairs", equal, f"{said}; equal results: {equal}")]


def reranking(context: Context) -> list[Finding]:
    """Say that re-ranking has no form for GPUs."""
    said = "re-ranking has no form for GPUs: it runs on the CPU"
    return [Finding("re-ranking", "skipped", said)]


def faiss_indexes(context: Context) -> list[Finding]:
    """Compare ids and scores of FAISS's indexes on the GPU with those on the CPU."""
    if lacking("faiss"):
        return [Finding("FAISS", "skipped", "FAISS is not installed")]
    from facever.gallery.index.faiss_import import import_faiss

    faiss = import_faiss()
    if not hasattr(faiss, "index_cpu_to_gpu") or not faiss.get_num_gpus():
        return [Finding("FAISS", "skipped", "this FAISS finds no GPU (package faiss-gpu)")]
    vectors = np.asarray(_faces(100_000).vectors)
    found = []
    for kind in ("Flat", "IVF256,Flat", "IVF256,PQ32"):
        index = faiss.index_factory(vectors.shape[1], kind, faiss.METRIC_INNER_PRODUCT)
        index.train(vectors)
        index.add(vectors)
        scores, rows = index.search(vectors[:500], 10)
        moved = faiss.index_cpu_to_gpu(faiss.StandardGpuResources(), 0, index)
        others, candidates = moved.search(vectors[:500], 10)
        same = float((rows == candidates).mean())
        apart = float(np.abs(scores - others).max())
        said = f"{100 * same:.2f} % of ids equal, scores differ by at most {apart:.1e}"
        found.append(judged(f"FAISS, {kind}", same > 0.99 and apart < 1e-2, said))
    return found


def _faces(rows: int) -> EmbeddingSet:
    draw = np.random.default_rng(0)
    who = np.arange(rows) // 4
    centres = draw.standard_normal((rows // 4 + 1, 256), dtype=np.float32)
    vectors = centres[who] + 1.5 * draw.standard_normal((rows, 256), dtype=np.float32)
    return EmbeddingSet.from_arrays(vectors, [f"p{one}" for one in who], fingerprint="gpu")

# %% [markdown]
# # ReID
#
# Train a small re-identification model and rank a gallery for each query, with the rule of Market-1501: images of the query's own camera
# do not count. The "people" are drawings, and the training takes seconds, so the figures are low. `facever train market_bot` is the
# recipe for the real data.

# %%
import facever
from facever.data.synthesize import synthesize

people = synthesize("PEOPLE", 36, 6, size=32)
rows = people.frame.assign(camera=people.frame["shot"].astype(int) % 3)
rows["subset"] = ["train" if name < "person000024" else "test" for name in rows["identity"]]
manifest = facever.Manifest(rows, people.root, "drawings")
manifest.save("people.csv")
rows.groupby("subset")["identity"].agg(["nunique", "size"])

# %% [markdown]
# The strong baseline: a classifier on the normalised features, a triplet loss on the features before.

# %%
run = facever.train(
    "market_bot",
    data={"root": "people.csv", "layout": "table", "train": {"subset": "train"}},
    model={"backbone": "test_resnet", "backbone_options": {}, "preprocessing": {"size": [32, 32]}},
    batch={"size": 32, "images_per_identity": 4, "spread_cameras": True},
    schedule={"name": "cosine", "warmup_epochs": 0, "decay_epochs": []},
    workers=0,
    precision="fp32",
    operating_point_far=0.1,
    epochs=4,
    out="RUN",
)

# %% [markdown]
# The test people were not in the training. One image of each person and camera is a query, the others are the gallery.

# %%
model = facever.load_model("RUN")
faces = model.embed_images(manifest.where(subset="test"))
queries = (faces.rows["shot"].astype(int) < 3).to_numpy()
result = facever.evaluate.retrieval(
    faces.select(queries), against=faces.select(~queries), camera="camera"
)
result

# %%
result.plot_cmc()

# %% [markdown]
# Re-ranking uses the neighbours of neighbours. It needs no training, and its scores have no threshold.

# %%
from facever.evaluate import Reranking

better = facever.evaluate.retrieval(
    faces.select(queries),
    against=faces.select(~queries),
    camera="camera",
    rerank=Reranking(k1=6, k2=3, lambda_value=0.3),
)
print(f"mAP {result.map_plain:.3f}, re-ranked {better.map_plain:.3f}")

# %% [markdown]
# # Heads compared
#
# Which training criterion is better on your data? One training of each says little: the notebook shows how to ask so that the answer has
# an interval. `facever bakeoff` does the same over several seeds.

# %%
import facever
from facever.data.split import split
from facever.data.synthesize import synthesize

people = split(synthesize("PEOPLE", 48, 4, size=32), {"train": 0.6, "test": 0.4})
people.save("people.csv")
people.frame.groupby("subset")["identity"].nunique()

# %% [markdown]
# Two trainings that differ in the head alone.

# %%
settings = {
    "data": {"root": "people.csv", "train": {"subset": "train"}},
    "model": {"backbone": "test_resnet", "embedding_size": 64, "preprocessing": {"size": [32, 32]}},
    "operating_point_far": 0.1,
    "epochs": 4,
    "workers": 0,
}
heads = {
    "softmax": {"name": "softmax"},
    "cosface": {"name": "cosface", "margin": 0.2, "scale": 16},
}
for name, head in heads.items():
    facever.train("folder", out=name, heads=[head], **settings)

# %% [markdown]
# Both models see the same test people. The comparison draws people, the same for both models, and keeps the FAR in each draw.

# %%
test = people.where(subset="test")
softmax, cosface = (facever.load_model(name).embed_images(test) for name in heads)
comparison = facever.evaluate.compare(softmax, cosface, far=[0.1])
comparison

# %% [markdown]
# A difference is `resolved` if its interval excludes zero. Otherwise the test cannot tell the two apart: it needs more people.

# %%
point = comparison.points[0]
print(f"TAR {point.first.tar:.3f} and {point.second.tar:.3f}, resolved: {point.resolved}")

# %% [markdown]
# Every head, with its parameters and paper:

# %%
from facever.heads.catalogue import catalogue

for card in catalogue()[:3]:
    print(card.name, "-", card.summary)

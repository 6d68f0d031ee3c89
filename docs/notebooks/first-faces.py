# %% [markdown]
# # First faces
#
# From images to a score and a decision. The faces of this notebook are drawn by facever, so that it runs anywhere in seconds; a real
# model does worse on drawings than on photos. With your own photos, use their paths and leave out `photos=False`.

# %%
import facever
from facever.data.synthesize import synthesize

synthesize("PEOPLE", 3, 4, size=112)
model = facever.load_model("sface")
print(model.dimension, "components, compared by", model.metric)

# %% [markdown]
# `embed` takes paths, bytes, Pillow images and arrays, and returns one vector of length 1 for each. The drawings are aligned already, so
# they are crops: no face is detected in them.

# %%
images = [f"PEOPLE/person00000{person}/000{shot}.jpg" for person in (0, 1) for shot in (0, 1)]
vectors = model.embed(images, photos=False)
vectors.shape

# %% [markdown]
# The cosine similarity of two vectors of length 1 is their product. Rows and columns are the four images: two of each person.

# %%
(vectors @ vectors.T).round(2)

# %% [markdown]
# A decision needs an operating point: a threshold with the error rates that were counted at it. SFace brings one, measured on photos.

# %%
decision = facever.Recognizer(model, photos=False).verify(images[0], images[2])
print(f"score {decision.score:.3f}, same person: {decision.same}")
print(
    f"threshold {decision.operating_point.threshold:.3f} for FAR {decision.operating_point.target_rate:g}"
)

# %% [markdown]
# A folder with a folder per person becomes an embedding set: vectors, and a table of what each row is.

# %%
faces = model.embed_images("PEOPLE", photos=False)
faces.rows[["path", "identity", "norm"]].head()

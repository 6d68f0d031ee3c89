# %% [markdown]
# # A gallery
#
# Enrol people, search, decide who is unknown, and erase. The vectors are simulated, so that the notebook runs anywhere in a second:
# each person has a direction, and each image is near it. With a model, `facever.Recognizer(model, gallery)` takes images in the same
# calls.

# %%
import numpy as np

import facever

draw = np.random.default_rng(0)
directions = draw.normal(size=(300, 64))


def images_of(people, each, noise=1.0):
    """Return an embedding set with some images of each person."""
    who = np.repeat(people, each)
    vectors = directions[who] + noise * draw.normal(size=(len(who), 64))
    return facever.EmbeddingSet.from_arrays(
        vectors, [f"person{number:03d}" for number in who], fingerprint="simulated"
    )


# %% [markdown]
# The first 200 people are enrolled with two images each. The other hundred stay strangers.

# %%
enrolled = images_of(range(200), 2)
gallery = facever.Gallery.create("GALLERY", fingerprint="simulated", dimension=64)
print(gallery.enroll(enrolled).new_people, "people")

# %% [markdown]
# A search without an operating point returns scores, and says why it does not decide.

# %%
found = gallery.search(images_of([3], 1), k=3)
print(found.note)
found

# %% [markdown]
# Who is nobody? The threshold of a search is measured with probes of enrolled people *and* of strangers. FPIR is the share of strangers
# that are named as somebody; FNIR is the share of enrolled people who are missed.

# %%
judged = facever.evaluate.identification(images_of(range(300), 3), enrolled, fpir=[0.1, 0.01])
judged

# %%
judged.plot_det()

# %% [markdown]
# With this operating point the gallery decides. `unknown` is an answer.

# %%
gallery.add_operating_point("door", judged.operating_point(0.01))
for number in (3, 4, 250, 251):
    answer = gallery.search(images_of([number], 1))[0]
    said = f"known as {answer.person}" if answer.known else "unknown"
    print(f"person{number:03d}: {said}, best score {answer.candidates[0].score:.3f}")

# %% [markdown]
# A verification asks about one person, so it needs an operating point of kind 1:1.

# %%
pairs = facever.evaluate.verification(images_of(range(200, 300), 4), far=[0.001])
gallery.add_operating_point("claim", pairs.operating_point(0.001))
gallery.verify(images_of([3, 250], 1), "person003").same

# %% [markdown]
# Removed people are in no answer any more; after a purge no byte of them is in the folder.

# %%
gallery.remove("person003")
gallery.purge()
print(gallery.info().people, "people; a search for the removed one:")
gallery.search(images_of([3], 1))[0].known

# %%
gallery.close()

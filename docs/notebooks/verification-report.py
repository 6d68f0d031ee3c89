# %% [markdown]
# # A verification report
#
# How well does a model tell people apart, at which threshold, and how certain is that? The images are drawings of thirty people.

# %%
import facever
from facever.data.synthesize import synthesize

synthesize("PEOPLE", 30, 4, size=112)
model = facever.load_model("sface")
faces = model.embed_images("PEOPLE", photos=False)
len(faces)

# %% [markdown]
# All pairs are compared. A FAR that the trials cannot support is refused, and is listed with the number of trials that it needs.

# %%
result = facever.evaluate.verification(faces, far=[0.1, 0.01, 1e-6])
result

# %%
result.to_frame()

# %%
print(result.refused)

# %% [markdown]
# The ROC: TAR against FAR at every threshold.

# %%
result.plot_roc()

# %% [markdown]
# The scores of both classes. Where they overlap, every threshold makes errors.

# %%
result.plot_scores()

# %% [markdown]
# An operating point keeps the threshold with its origin. `facever verify`, galleries and the service take the file.

# %%
point = result.operating_point(0.01)
point.save("point.json")
print(f"accept above {point.threshold:.4f}: FAR {point.achieved_rate:.4f}")
print(
    f"95 % interval of the FAR on other people: {point.interval.low:.4f} to {point.interval.high:.4f}"
)

# %% [markdown]
# The same as one HTML file, with the pairs that have the most surprising scores:

# %%
from pathlib import Path

from facever.render.page import write_report
from facever.report.build import build

faces.save("EMBEDDINGS")
write_report(build(Path("EMBEDDINGS")), Path("report.html"))
print(Path("report.html").stat().st_size // 1000, "kB")

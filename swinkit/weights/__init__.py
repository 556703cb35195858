"""Weights and their files. Submodules are imported when they are first named."""

from ..lazy import submodules

# names of files, here, where all sides see them without torch
WEIGHTS, DESCRIPTION = "model.safetensors", "config.json"  # a model of swinkit's own format
BUNDLE = "bundle.json"  # makes a folder an exported bundle, which is no model
CERTIFICATE = "certificate.json"  # beside what a conversion wrote
CONFIG, DATA, MACHINE = "config.yaml", "data.json", "env.json"  # what a run writes down of itself
RUN = (CONFIG, DATA)  # make a folder a run, whose model lies in model/
TABLES = METRICS, PAYOFF = "metrics.csv", "payoff.csv"  # what grows while a run goes on, a row at a time
FOLDS = "folds.json"  # in the folder of a cross-validation, whose runs lie in it
REPORT = "report.html"  # the page of a run, or of a model that was judged

_, __getattr__ = submodules(__name__, __path__)

# names of files, here, where all sides see them without torch
WEIGHTS, DESCRIPTION = "model.safetensors", "config.json"  # a model of swinkit's own format
BUNDLE = "bundle.json"  # makes a folder an exported bundle, which is no model
CERTIFICATE = "certificate.json"  # beside what a conversion wrote
RUN = ("config.yaml", "data.json")  # make a folder a run, whose model lies in model/

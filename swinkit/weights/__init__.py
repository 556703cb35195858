BUNDLE = "bundle.json"  # makes a folder an exported bundle, which is no model; here, where both sides see it without torch

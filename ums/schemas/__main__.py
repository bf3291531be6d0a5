"""Write the schemas: ``make schemas``."""

from __future__ import annotations

import json
from pathlib import Path

from ums.adapters._release_files import MODELS
from ums.adapters._yaml import StrictModel
from ums.adapters.bundle_folder import BundleModel

FOLDER = Path(__file__).parent


def schemas() -> dict[str, str]:
    """Return each schema's text by file name."""
    texts = {}
    models: dict[str, type[StrictModel]] = {**MODELS, "bundle": BundleModel}
    for name, model in models.items():
        schema = {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            **model.model_json_schema(by_alias=True, mode="validation"),
        }
        texts[f"{name}.schema.json"] = json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
    return texts


if __name__ == "__main__":
    for file_name, text in schemas().items():
        (FOLDER / file_name).write_text(text, encoding="utf-8")

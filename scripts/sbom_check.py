#!/usr/bin/env python3
"""Whether a CycloneDX file is one, is about the program, and names what every program here is made of.

scripts/sbom_check.py FILE PROGRAM VERSION
"""

import json
import sys

path, program, version = sys.argv[1:]
with open(path, encoding="utf-8") as file:
    bom = json.load(file)
about = bom["metadata"]["component"]
parts = {part["name"]: part for part in bom["components"]}
problems = []
if bom["bomFormat"] != "CycloneDX":
    problems.append("bomFormat is not CycloneDX")
if (about["name"], about["version"]) != (program, version):
    problems.append(f"it is about {about['name']} {about['version']}")
problems += [f"{name} is not among the parts" for name in ("clap", "serde", "tokio", "service") if name not in parts]
problems += [f"{name} has no purl" for name, part in parts.items() if "purl" not in part]
if not bom.get("dependencies"):
    problems.append("it does not say what depends on what")
if problems:
    sys.exit(f"{path}: " + "; ".join(problems))

#!/usr/bin/env python3
"""Whether a CycloneDX file is one, is about the program, and names just the packages that it is made of.

scripts/sbom_check.py FILE PROGRAM VERSION < LINES, each "NAME vVERSION" (built_from of dist-names.sh)
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
built = {tuple(line.split()[:2]) for line in sys.stdin if line.strip()} - {(program, f"v{version}")}
listed = {(part["name"], "v" + part["version"]) for part in bom["components"]}
if len(built) < 100:
    problems.append("nobody knows what it is made of")
problems += [f"{name} {of} is not among the parts" for name, of in sorted(built - listed)]
problems += [f"{name} {of} is no part of it" for name, of in sorted(listed - built)]
problems += [f"{name} has no purl" for name, part in parts.items() if "purl" not in part]
if not bom.get("dependencies"):
    problems.append("it does not say what depends on what")
if problems:
    sys.exit(f"{path}: " + "; ".join(problems))

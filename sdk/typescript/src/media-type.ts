/** What bytes are: what their sender says, unless the bytes contradict it; then it is what they are. */

const UNKNOWN = "application/octet-stream";

/** What clients write who were not told. */
const UNTOLD = [UNKNOWN, "application/x-www-form-urlencoded"];

/** How files begin: type, what they begin with in hexadecimal digits, and from which byte on. */
const SIGNATURES: [string, string, number?][] = [
  ["image/png", "89504e470d0a1a0a"],
  ["image/jpeg", "ffd8ff"],
  ["image/gif", "474946383761"],
  ["image/gif", "474946383961"],
  ["image/tiff", "49492a00"],
  ["image/tiff", "4d4d002a"],
  ["image/bmp", "424d"],
  ["image/vnd.microsoft.icon", "00000100"],
  ["application/pdf", "255044462d"],
  ["application/zip", "504b0304"],
  ["application/zip", "504b0506"],
  ["application/gzip", "1f8b08"],
  ["application/x-7z-compressed", "377abcaf271c"],
  ["application/vnd.rar", "526172211a07"],
  ["application/x-ole-storage", "d0cf11e0a1b11ae1"],
  ["application/vnd.microsoft.portable-executable", "4d5a"],
  ["application/x-executable", "7f454c46"],
  ["application/wasm", "0061736d"],
  ["application/vnd.sqlite3", "53514c69746520666f726d6174203300"],
  ["audio/mpeg", "494433"],
  ["audio/mpeg", "fffb"],
  ["audio/flac", "664c6143"],
  ["audio/ogg", "4f676753"],
  ["video/webm", "1a45dfa3"],
  ["application/rtf", "7b5c727466"],
  ["application/postscript", "25215053"],
];

/** The kinds within RIFF and ISO media files, by the four letters that name them. */
const RIFF: { [name: string]: string } = { WEBP: "image/webp", WAVE: "audio/wav", "AVI ": "video/x-msvideo" };
const ISO: { [name: string]: string } = { avif: "image/avif", heic: "image/heif", mif1: "image/heif", "M4A ": "audio/mp4", qt: "video/quicktime" };

/** Types that are written in the same way. */
const SAME = [
  ["image/jpeg", "image/jpg", "image/pjpeg"],
  ["image/png", "image/x-png", "image/apng"],
  ["image/bmp", "image/x-ms-bmp"],
  ["image/vnd.microsoft.icon", "image/x-icon"],
  ["image/heif", "image/heic"],
  ["application/rtf", "text/rtf"],
  ["audio/mpeg", "audio/mp3"],
  ["audio/wav", "audio/x-wav", "audio/wave"],
  ["audio/flac", "audio/x-flac"],
  ["video/mp4", "audio/mp4", "audio/x-m4a", "video/x-m4v", "video/quicktime", "video/3gpp"],
];

/** Containers of others: what is said says more than the signature does. */
const CONTAINERS: { [sign: string]: string[] } = {
  "application/zip": ["zip", "openxmlformats", "opendocument", "java-archive", "vnd.apple.", "macroenabled"],
  "application/gzip": ["gzip", "tgz", "compressed"],
  "application/x-ole-storage": ["msword", "ms-excel", "ms-powerpoint", "ms-outlook", "visio"],
  "audio/ogg": ["ogg", "opus"],
  "video/webm": ["webm", "matroska"],
  "image/tiff": ["image/x-", "image/dng"],
};

/** Types whose files always begin with a signature. */
const SIGNED = /^(image\/(png|jpe?g|gif|webp|bmp|tiff|avif|hei[cf]|vnd\.microsoft\.icon)|application\/(pdf|zip|gzip))$|openxmlformats|opendocument|epub\+zip/;

/** Types of files that may be text from the first byte to the last. */
const WRITTEN = ["application/pdf", "application/rtf", "application/postscript"];

const TEXTS = /^text\/|\+(json|xml|yaml)$|^application\/(json|x-ndjson|jsonl|xml|yaml|x-yaml|toml|javascript|x-javascript|sql|x-sh)$/;

const ENDINGS: { [ending: string]: string } = {
  csv: "text/csv",
  tsv: "text/tab-separated-values",
  md: "text/markdown",
  markdown: "text/markdown",
  json: "application/json",
  ndjson: "application/x-ndjson",
  jsonl: "application/x-ndjson",
  yaml: "application/yaml",
  yml: "application/yaml",
  xml: "application/xml",
  html: "text/html",
  htm: "text/html",
  ics: "text/calendar",
  vcf: "text/vcard",
};

/** The essence of a media type in lower case, without parameters; `undefined` for what is none. */
export function essenceOf(text: string): string | undefined {
  const essence = (text.split(";", 1)[0] ?? "").trim().toLowerCase();
  return /^[a-z0-9!#$&^_.+-]{1,127}\/[a-z0-9!#$&^_.+-]{1,127}$/.test(essence) ? essence : undefined;
}

function signOf(bytes: Buffer): string | undefined {
  const letters = (from: number) => bytes.toString("latin1", from, from + 4);
  if (letters(0) === "RIFF") return RIFF[letters(8)];
  if (letters(4) === "ftyp") return ISO[letters(8)] ?? ISO[letters(8).trim()] ?? "video/mp4";
  const found = SIGNATURES.find(([, hex, from = 0]) => bytes.toString("hex", from, from + hex.length / 2) === hex);
  return found?.[0];
}

/** Whether no byte is one that only binary files have. */
function isText(bytes: Buffer): boolean {
  const mark = bytes.toString("hex", 0, 2);
  if (mark === "feff" || (mark === "fffe" && bytes.toString("hex", 2, 4) !== "0000")) return true;
  return !bytes.some((byte) => byte <= 8 || byte === 0x0b || (byte >= 0x0e && byte <= 0x1f && byte !== 0x1b));
}

/** How a text begins, in lower case: without a byte order mark, white space, and comments. */
function beginning(bytes: Buffer): string {
  let rest = bytes.toString("utf8", 0, 16 * 1024).toLowerCase().replace(/^\ufeff/, "").trimStart();
  while (rest.startsWith("<!--")) {
    const end = rest.indexOf("-->");
    rest = end < 0 ? "" : rest.slice(end + 3).trimStart();
  }
  return rest;
}

/** Whether it is a drawing: its first element is, whatever is declared before it. */
function isSvg(begins: string): boolean {
  const rest = begins.replace(/^(<\?[^>]*>\s*|<!doctype svg[^>]*>\s*)*/, "");
  return /^<(svg|svg:svg)[\s>/]/.test(rest);
}

function isJson(bytes: Buffer): boolean {
  const text = bytes.toString("utf8").trim();
  if (!/^[[{]/.test(text)) return false;
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

function textKind(name: string, bytes: Buffer): string {
  const begins = beginning(bytes);
  if (isSvg(begins)) return "image/svg+xml";
  if (/^<(!doctype html|html|head|body|script|iframe)/.test(begins)) return "text/html";
  const ending = ENDINGS[/\.([^.]+)$/.exec(name)?.[1]?.toLowerCase() ?? ""];
  if (ending !== undefined) return ending;
  if (begins.startsWith("<?xml")) return "application/xml";
  return isJson(bytes) ? "application/json" : "text/plain";
}

/** Whether a text may be of a type. */
function mayBeText(kind: string, bytes: Buffer): boolean {
  if (kind === "image/svg+xml") return isSvg(beginning(bytes));
  if (TEXTS.test(kind)) return true;
  return !SIGNED.test(kind) && (!/^(image|audio|video|font)\//.test(kind) || kind.endsWith("mpegurl"));
}

const mayHave = (kind: string, sign: string): boolean =>
  kind === sign ||
  SAME.some((same) => same.includes(kind) && same.includes(sign)) ||
  (CONTAINERS[sign] ?? []).some((part) => kind.includes(part));

/** The media type of a file. */
export function mediaTypeOf(said: string | undefined, name: string, bytes: Buffer): string {
  const declared = said === undefined || UNTOLD.includes(said) ? undefined : said;
  const text = isText(bytes);
  const sign = signOf(bytes);
  // Short signatures are words, too: text is another type only where that one is text.
  if (sign !== undefined && (!text || WRITTEN.includes(sign))) return declared !== undefined && mayHave(declared, sign) ? declared : sign;
  if (text) return declared !== undefined && mayBeText(declared, bytes) ? declared : textKind(name, bytes);
  return declared !== undefined && !TEXTS.test(declared) && !SIGNED.test(declared) ? declared : UNKNOWN;
}

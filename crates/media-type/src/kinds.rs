//! Types whose files begin with a signature, and which types are written in the same way.

/// Types that are containers of others: what is declared says more than the signature does.
const CONTAINERS: [(&str, &[&str]); 8] = [
    (
        "application/zip",
        &[
            "zip",
            "openxmlformats",
            "opendocument",
            "java-archive",
            "android.package",
            "vnd.apple.",
            "xpinstall",
            "macroenabled",
        ],
    ),
    ("application/gzip", &["gzip", "tgz", "gtar", "compressed"]),
    (
        "application/x-ole-storage",
        &["msword", "ms-excel", "ms-powerpoint", "ms-outlook", "visio", "msi", "ms-project"],
    ),
    ("audio/ogg", &["ogg", "opus"]),
    ("video/ogg", &["ogg", "opus"]),
    ("video/webm", &["webm", "matroska"]),
    ("video/x-matroska", &["webm", "matroska"]),
    ("image/tiff", &["image/x-", "image/dng"]),
];

/// Types that are one, or differ in what their files hold, not in how these begin.
const SAME: [&[&str]; 15] = [
    &["image/jpeg", "image/jpg", "image/pjpeg"],
    &["image/png", "image/x-png", "image/apng", "image/vnd.mozilla.apng"],
    &["image/bmp", "image/x-bmp", "image/x-ms-bmp"],
    &["image/vnd.microsoft.icon", "image/x-icon", "image/ico"],
    &["image/heif", "image/heic", "image/heif-sequence", "image/heic-sequence"],
    &["application/pdf", "application/x-pdf"],
    &["application/rtf", "text/rtf"],
    &["application/postscript", "application/eps", "image/x-eps"],
    &["audio/mpeg", "audio/mp3", "audio/x-mp3"],
    &["audio/wav", "audio/x-wav", "audio/wave", "audio/vnd.wave"],
    &["audio/flac", "audio/x-flac"],
    &["video/x-msvideo", "video/avi", "video/msvideo", "video/vnd.avi"],
    &["application/x-7z-compressed", "application/7z"],
    &["application/vnd.rar", "application/x-rar-compressed", "application/x-rar"],
    &[
        "video/mp4",
        "audio/mp4",
        "audio/m4a",
        "audio/x-m4a",
        "video/x-m4v",
        "video/quicktime",
        "video/3gpp",
        "audio/3gpp",
    ],
];

/// The registered names of signatures that have others besides.
const REGISTERED: [(&str, &str); 5] = [
    ("audio/x-wav", "audio/wav"),
    ("audio/x-flac", "audio/flac"),
    ("audio/m4a", "audio/mp4"),
    ("image/x-icon", "image/vnd.microsoft.icon"),
    ("text/rtf", "application/rtf"),
];

/// Types whose files always begin with a signature: one that has none is no such file.
const SIGNED: [&str; 14] = [
    "image/png",
    "image/jpeg",
    "image/jpg",
    "image/gif",
    "image/webp",
    "image/bmp",
    "image/tiff",
    "image/avif",
    "image/heic",
    "image/heif",
    "image/vnd.microsoft.icon",
    "application/pdf",
    "application/zip",
    "application/gzip",
];

/// Whether a file of this type may begin with the signature of that one.
pub(crate) fn may_have(kind: &str, sign: &str) -> bool {
    let is_inside = |(container, parts): &(&str, &[&str])| {
        *container == sign && parts.iter().any(|part| kind.contains(part))
    };
    let is_zip = kind == "application/zip" && is_in_zip(sign);
    kind == sign
        || is_zip
        || SAME.iter().any(|same| same.contains(&kind) && same.contains(&sign))
        || CONTAINERS.iter().any(is_inside)
}

/// Whether files of a type always begin with a signature.
pub(crate) fn is_signed(kind: &str) -> bool {
    SIGNED.contains(&kind) || is_in_zip(kind)
}

/// Whether files of a type are zip archives of a form of their own.
fn is_in_zip(kind: &str) -> bool {
    ["openxmlformats", "opendocument", "epub+zip"].iter().any(|part| kind.contains(part))
}

/// Whether a signature's files may be text from the first byte to the last.
pub(crate) fn is_written_as_text(sign: &str) -> bool {
    matches!(sign, "application/pdf" | "application/rtf" | "text/rtf" | "application/postscript")
}

/// The registered name of a signature's type.
pub(crate) fn registered(sign: &'static str) -> &'static str {
    REGISTERED.iter().find(|(other, _)| *other == sign).map_or(sign, |(_, name)| name)
}

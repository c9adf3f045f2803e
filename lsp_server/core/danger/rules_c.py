"""Dangerous patterns in C and C++, and what to write instead."""

from __future__ import annotations

from lsp_server.core.danger.rule import (
    ANY,
    CREDENTIALS,
    PASSWORD_NAME,
    SECRET_NAME,
    SQL,
    TEMPORARY_TEXT,
    Pattern,
    Rules,
)

# The code makes the target as large as the source, or compares their sizes.
_MEASURED = (
    r"(?:alloc\w*|new char|resize|reserve)\s*[(\[][^;]*(?:strlen|length|size)"
    r"|strlen\s*\([^)]*\)\s*[<>]=?|sizeof[^;]*[<>]=?\s*strlen"
)
_UNBOUNDED = r"(?<!%)%(?:\[[^\]]+\]|s)"

RULES = Rules(
    safe={
        "sql": "prepare the statement and bind the values: sqlite3_bind_text",
        "shell": "use posix_spawn or execv with the program and its arguments",
        "tls": "leave the check on; give the CA's certificate",
        "hash": "use argon2, scrypt or crypt with a salt of its own",
        "credential": 'read it from the environment or a secret store: getenv("NAME")',
        "path": "resolve the path with realpath and check that it begins with the folder",
        "format": 'give a fixed format: printf("%s", text)',
        "copy": "use snprintf, fgets or a copy that is given the size of its target",
        "temporary": "use mkstemp or tmpfile",
        "xml": "leave XML_PARSE_NOENT and XML_PARSE_DTDLOAD off",
        "random": "use getrandom, arc4random or RAND_bytes",
    },
    patterns=(
        SQL,
        *CREDENTIALS,
        Pattern("shell", "call", r"(?:std\.)?system|popen|_popen", arg=0, value="dynamic"),
        Pattern("shell", "call", r"execlp?e?", arg=ANY, value="dynamic", has=r"\"-c\""),
        Pattern(
            "tls", "call", r"curl_easy_setopt", has=r"CURLOPT_SSL_VERIFY(?:PEER|HOST)\s*,\s*(?:0[lL]?|false|FALSE)\s*\)"
        ),
        Pattern("tls", "call", r"SSL_(?:CTX_)?set_verify", has=r"SSL_VERIFY_NONE", lacks=r"\?"),
        Pattern(
            "hash",
            "call",
            r"(?:MD5|SHA1|SHA256|SHA512|MD5_Update|SHA1_Update|SHA256_Update|EVP_DigestUpdate|md5|sha1|sha256)",
            arg=ANY,
            value="any",
            like=PASSWORD_NAME,
        ),
        Pattern("path", "call", r"fopen|open|unlink|remove|std\.ifstream", arg=0, value="tainted"),
        Pattern("format", "call", r"(?:std\.)?printf|vprintf", arg=0, value="open", count=1),
        Pattern("format", "call", r"(?:std\.)?(?:fprintf|sprintf|syslog|dprintf)", arg=1, value="open", count=2),
        Pattern("format", "call", r"(?:std\.)?snprintf", arg=2, value="open", count=3),
        Pattern("copy", "call", r"gets|_getws"),
        Pattern(
            "copy",
            "call",
            r"(?:std\.)?(?:strcpy|strcat|stpcpy|wcscpy|wcscat|lstrcpyA?|lstrcatA?)",
            arg=1,
            value="dynamic",
            unless=_MEASURED,
        ),
        Pattern("copy", "call", r"(?:std\.)?sprintf", arg=1, value="const", like=_UNBOUNDED, unless=_MEASURED),
        Pattern("copy", "call", r"(?:std\.)?vsprintf"),
        Pattern("copy", "call", r"(?:std\.)?scanf", arg=0, value="const", like=_UNBOUNDED),
        Pattern("copy", "call", r"(?:std\.)?[fs]scanf", arg=1, value="const", like=_UNBOUNDED),
        Pattern("temporary", "call", r"(?:std\.)?(?:mktemp|_mktemp|tmpnam|tempnam|tmpnam_r)"),
        Pattern(
            "temporary",
            "call",
            r"fopen|open|creat|std\.ofstream",
            arg=0,
            value="text",
            like=TEMPORARY_TEXT,
            has=r"\"[rb+]*[wa][b+]*\"|O_CREAT|ofstream|creat",
            lacks=r"O_EXCL",
        ),
        Pattern(
            "xml",
            "call",
            r"xml(?:Read\w+|CtxtRead\w+|CtxtUseOptions|ParseInNodeContext)",
            has=r"XML_PARSE_(?:NOENT|DTDLOAD)",
        ),
        Pattern("xml", "call", r"xmlSubstituteEntitiesDefault", has=r"\(\s*1"),
        Pattern(
            "random",
            "call",
            r"(?:std\.)?(?:rand|random|drand48|lrand48)|\w*(?:gen|rng|dist|engine)\w*",
            near=SECRET_NAME,
        ),
    ),
    sources=r"\bgetenv\s*\(\s*\"(?:QUERY_STRING|PATH_INFO|REQUEST_URI|HTTP_\w+)\"",
    clean=r"\b_\(|\bgettext\(|\bN_\(|\bdgettext\(",
)

"""Dangerous patterns in JavaScript and TypeScript, and what to write instead."""

from __future__ import annotations

from lsp_server.core.danger.rule import (
    ANY,
    CREDENTIALS,
    HTML_TEXT,
    LAST,
    PASSWORD_NAME,
    SECRET_NAME,
    SQL,
    TEMPORARY_TEXT,
    Pattern,
    Rules,
)

_PROCESS = r"(?:(?:child_process|cp|childProcess|childprocess|shell|proc)\.)?exec(?:Sync)?"
_FILES = (
    r"path\.(?:join|resolve)|(?:fs|fsp|fs\.promises)\.\w+|(?:res|response|reply)\.(?:sendFile|download)"
    r"|readFileSync|readFile|createReadStream|writeFile|writeFileSync|unlink|unlinkSync"
)

RULES = Rules(
    safe={
        "sql": 'pass the values as parameters: query("... WHERE id = ?", [id])',
        "shell": "use execFile or spawn with a list of arguments and no shell",
        "code": "use JSON.parse for data, or an object of the functions that may be called",
        "deserialise": "use JSON.parse",
        "tls": "leave the check on; give the CA's certificate as `ca`",
        "hash": "use crypto.scrypt, argon2 or bcrypt with a salt of its own",
        "credential": "read it from the environment or a secret store: process.env.NAME",
        "path": "resolve the path and check that it begins with the folder, or use path.basename",
        "html": "use textContent, a template that escapes, or DOMPurify.sanitize",
        "temporary": "make a folder with fs.mkdtemp and write into that",
        "xml": "leave `noent` off",
        "random": "use crypto.randomBytes, crypto.randomUUID or crypto.getRandomValues",
    },
    patterns=(
        SQL,
        HTML_TEXT,
        *CREDENTIALS,
        Pattern("shell", "call", _PROCESS, arg=0, value="risky", file=r"child_process|shelljs|execSync"),
        Pattern(
            "shell", "call", r"(?:\w+\.)?(?:spawn|spawnSync|execFile)", arg=0, value="risky", has=r"\bshell\s*:\s*true"
        ),
        Pattern("code", "call", r"(?:window\.|global\.|globalThis\.)?eval", arg=0, value="dynamic"),
        Pattern("code", "call", r"(?:new )?Function", arg=LAST, value="dynamic"),
        Pattern("code", "call", r"(?:window\.)?set(?:Timeout|Interval)", arg=0, value="built"),
        Pattern("code", "call", r"vm\.runIn\w*Context|new vm\.Script", arg=0, value="risky"),
        Pattern(
            "deserialise", "call", r"(?:serialize|nodeSerialize|serializer|funcster)\.(?:unserialize|deepDeserialize)"
        ),
        Pattern("deserialise", "call", r"unserialize", file=r"node-serialize"),
        Pattern("tls", "set", r"rejectUnauthorized|strictSSL", value="any", like=r"^false$"),
        Pattern("tls", "set", r"NODE_TLS_REJECT_UNAUTHORIZED", value="any", like=r"^[\"']?0[\"']?$"),
        Pattern("hash", "call", r"(?:crypto\.)?createHash", near=PASSWORD_NAME),
        Pattern("hash", "call", r".*createHash\(\)(?:\.\w+\(\))*\.update", arg=0, value="any", like=PASSWORD_NAME),
        Pattern(
            "hash",
            "call",
            r"(?:CryptoJS\.)?(?:md5|sha1|sha256|MD5|SHA1|SHA256)",
            arg=0,
            value="any",
            like=PASSWORD_NAME,
        ),
        Pattern("path", "call", _FILES, arg=ANY, value="tainted", lacks=r"\broot\s*:"),
        Pattern(
            "html", "set", r"innerHTML|outerHTML|srcdoc|__html", value="dynamic", unlike=r"(?i)purify|sanitiz|escape"
        ),
        Pattern("html", "call", r"document\.write(?:ln)?", arg=0, value="dynamic"),
        Pattern("html", "call", r".*\.insertAdjacentHTML", arg=1, value="dynamic"),
        Pattern(
            "html", "call", r"(?:\$|jQuery)\(\)\.(?:html|append|prepend|after|before)", arg=0, value="built", like=r"<"
        ),
        Pattern("html", "call", r"(?:res|response|reply)\.(?:send|write|end)", arg=0, value="tainted"),
        Pattern(
            "temporary",
            "call",
            r"(?:\w+\.)*(?:writeFile|writeFileSync|createWriteStream|open|openSync)",
            arg=0,
            value="text",
            like=TEMPORARY_TEXT,
        ),
        Pattern("temporary", "call", r"tmp\.tmpName(?:Sync)?"),
        Pattern("xml", "set", r"noent", value="any", like=r"^true$"),
        Pattern("random", "call", r"Math\.random", near=SECRET_NAME),
    ),
    sources=r"\b(?:req|request|ctx|ctx\.request)\.(?:params|query|body|cookies|headers|param\(|files?\b)"
    r"|\blocation\.(?:hash|search|href)|\bsearchParams\.get\(|document\.(?:URL|referrer|cookie)",
    clean=r"DOMPurify|\bpath\.basename|\bformatNumber\b|\bt\(|\bi18n",
)

"""Dangerous patterns in Go, and what to write instead."""

from __future__ import annotations

from lsp_server.core.danger.rule import (
    ANY,
    CREDENTIALS,
    HTML_TEXT,
    PASSWORD_NAME,
    SECRET_NAME,
    SQL,
    TEMPORARY_TEXT,
    Pattern,
    Rules,
)

_SHELL = r"\(\s*(?:\w+\s*,\s*)?\"(?:/bin/|/usr/bin/)?(?:ba|z|da)?sh\"\s*,\s*\"-l?c\"|\"cmd(?:\.exe)?\"\s*,\s*\"/[cC]\""

RULES = Rules(
    safe={
        "sql": 'pass the values as parameters: db.Query("... WHERE id = ?", id)',
        "shell": 'call the program itself: exec.Command("ls", dir)',
        "tls": "leave the check on; give the CA's certificate as RootCAs, and the known host key",
        "hash": "use bcrypt or argon2 of golang.org/x/crypto",
        "credential": 'read it from the environment or a secret store: os.Getenv("NAME")',
        "path": "clean the path and check filepath.IsLocal, or use os.Root",
        "html": "use html/template, or html.EscapeString",
        "format": 'give a fixed format: fmt.Printf("%s", text)',
        "temporary": "use os.CreateTemp or os.MkdirTemp",
        "random": "use crypto/rand",
    },
    patterns=(
        SQL,
        HTML_TEXT,
        *CREDENTIALS,
        Pattern("shell", "call", r"exec\.Command(?:Context)?", arg=ANY, value="risky", has=_SHELL),
        Pattern("shell", "call", r"exec\.Command(?:Context)?", arg=0, value="tainted"),
        Pattern("tls", "set", r"InsecureSkipVerify", value="any", like=r"^true$"),
        Pattern("tls", "call", r"ssh\.InsecureIgnoreHostKey"),
        Pattern(
            "hash",
            "call",
            r"(?:md5\.Sum|sha1\.Sum|sha256\.Sum\w+|sha512\.Sum\w+)",
            arg=0,
            value="any",
            like=PASSWORD_NAME,
        ),
        Pattern(
            "hash",
            "call",
            r"io\.WriteString|\w+\.(?:Write|Sum)",
            arg=ANY,
            value="any",
            like=PASSWORD_NAME,
            unless=r"\A(?![\s\S]*(?:md5|sha1|sha256|sha512)\.New)",
        ),
        Pattern(
            "path",
            "call",
            r"(?:path|filepath)\.Join|os\.(?:Open\w*|ReadFile|WriteFile|Create|Remove\w*|Stat)|http\.ServeFile|ioutil\.ReadFile|c\.File",
            arg=ANY,
            value="tainted",
        ),
        Pattern("html", "call", r"template\.(?:HTML|JS|URL|HTMLAttr)", arg=0, value="dynamic"),
        Pattern(
            "format",
            "call",
            r"(?:fmt\.(?:Printf|Sprintf|Errorf)|log\.(?:Printf|Fatalf|Panicf))",
            arg=0,
            value="open",
            count=1,
        ),
        Pattern("format", "call", r"fmt\.Fprintf", arg=1, value="open", count=2),
        Pattern(
            "temporary",
            "call",
            r"os\.(?:Create|WriteFile|OpenFile)|ioutil\.WriteFile",
            arg=0,
            value="text",
            like=TEMPORARY_TEXT,
        ),
        Pattern(
            "random",
            "call",
            r"rand\.(?:Int\w*|Read|Perm|Uint\w*|Float\w*|New|Seed|N)",
            near=SECRET_NAME,
            file=r"\"math/rand(?:/v2)?\"",
        ),
        Pattern("random", "call", r"(?:mrand|mathrand)\.\w+", near=SECRET_NAME),
    ),
    sources=r"\br(?:eq)?\.(?:URL\.Query\(|FormValue\(|PostFormValue\(|Form\b|PostForm\b|PathValue\(|Header\.Get\(|URL\.Path)"
    r"|\bmux\.Vars\(|\bc\.(?:Param|Query|PostForm|FormValue|Params)\(|\bchi\.URLParam\(",
    clean=r"filepath\.(?:Base|IsLocal)|path\.Base|html\.EscapeString|template\.HTMLEscapeString|strconv\.",
)

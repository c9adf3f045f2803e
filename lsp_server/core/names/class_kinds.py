"""Data about classes in languages other than Python: node kinds, and patterns for names that a class does not
declare."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

# Matches nothing. A search for it is fast, because it begins with a literal character.
_NEVER = re.compile(r"\0(?!)")
# A line of a block comment, without code that follows it.
_BLOCK = r"(?:/\*|\*(?=[ \t/\n]))(?:(?<!\*)/|[^/\n])*(?:(?<=\*)/)?"
_MIXES = (
    r"(?:(?:assign|extend|merge|mix[iI]n|mixInto|apply|augment|copy|defaults|inherit|define|implement|setOptions)\w*"
    r"|\w*(?:[mM]ix[iI]ns?|[eE]mitter)|loadClass|setPrototypeOf|Reflect\s*\.\s*set)"
)
_INDEX = r"\[(?:[^\[\]]|\[(?:[^\[\]]|\[[^\[\]]*\])*\])*\]"
# The first argument of a deep copy.
_DEEP = r"\s*\(\s*(?:true\s*,\s*)?"


@dataclass(frozen=True, slots=True)
class ClassKinds:
    """receiver: the name by which a method refers to its object.

    Node kinds. classes, bodies: classes and their bodies. members: members that have a name field, or whose children
    have one. nameless: children of a body that declare no member. parameters: constructor parameters that also declare
    a field if they are or contain a node of the kinds `promoting`. own_this: nodes in which the receiver is a different
    object. methods: functions with a receiver of their own where they are not in a class. inside: parts of a class in
    which the receiver is not an object of it. bases: clauses that name a base class. interfaces: clauses whose
    interfaces may declare names, except for those in `plain`; if `abstract` is given, only in classes that have one of
    these modifiers. statics: what marks a static member.

    grows: whether any method and any other code may add names to an object. constructors: the names or kinds of the
    members that may in any case. reached: whether static members can be accessed by the receiver. magic: methods that
    compute further names. harmless: decorators that add no names, if the file imports from one of the `frameworks`.
    builtin: base classes of the language itself with their names. sigil: the prefix of a field's name that an access
    does not have.

    Patterns. used: an access by the receiver; the second group is not empty if it is an assignment. bare: the receiver
    without an access. taken: before a bare receiver, the names that are destructured from it. mixes: before a bare
    receiver, a call that may add names to it; `one` after the receiver matches if it adds only that name. computed: an
    assignment to a computed name. given: an assignment to a name of any object. comments: lines that are comments.
    declares: before a name, its declaration. mixed: before the name of a class, a call that may add names to it.
    changed: after that name, an access that may add names. generated: matches a file in which the compiler or a
    generator adds names to classes. narrows: a test of the receiver after which it may have further names. alias:
    before a bare receiver, the name that becomes another name of it; `fills`, with that name in place of ALIAS, matches
    code that adds unknown names to it. closures: functions that have a different receiver if `rebinds` matches in the
    method."""

    receiver: str
    classes: frozenset[str]
    bodies: frozenset[str]
    members: frozenset[str]
    nameless: frozenset[str]
    parameters: frozenset[str]
    promoting: frozenset[str]
    own_this: frozenset[str]
    methods: frozenset[str]
    inside: frozenset[str]
    bases: frozenset[str]
    used: re.Pattern[str]
    bare: re.Pattern[str]
    taken: re.Pattern[str]
    mixes: re.Pattern[str]
    one: re.Pattern[str]
    computed: re.Pattern[str]
    given: re.Pattern[str]
    comments: re.Pattern[str]
    declares: re.Pattern[str]
    mixed: re.Pattern[str]
    changed: re.Pattern[str]
    narrows: re.Pattern[str]
    alias: re.Pattern[str] = _NEVER
    fills: str = ""
    closures: frozenset[str] = frozenset()
    rebinds: re.Pattern[str] = _NEVER
    generated: re.Pattern[str] = _NEVER
    interfaces: frozenset[str] = frozenset()
    plain: frozenset[str] = frozenset()
    abstract: frozenset[str] = frozenset()
    statics: frozenset[str] = frozenset({"static", "class_static_block"})
    grows: bool = False
    reached: bool = False
    magic: frozenset[str] = frozenset()
    sigil: str = ""
    constructors: frozenset[str] = frozenset()
    harmless: frozenset[str] = frozenset()
    frameworks: re.Pattern[str] = _NEVER
    builtin: dict[str, frozenset[str]] = field(default_factory=dict)


_FRAMEWORKS = re.compile(r"from\s+[\"'](?:@angular/core|@nestjs/|lit[\"'/])")
_ERROR = frozenset({"message", "name", "stack", "cause"})


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _script(*, grows: bool, fields: str) -> ClassKinds:
    """JavaScript, and the languages that extend it."""
    this = r"this(?<![\w$]this)"
    return ClassKinds(
        "this",
        classes=_words("class_declaration abstract_class_declaration class"),
        bodies=_words("class_body"),
        members=_words(f"method_definition method_signature abstract_method_signature {fields}"),
        nameless=_words("comment decorator class_static_block ; { }"),
        parameters=_words("required_parameter optional_parameter"),
        promoting=_words("accessibility_modifier readonly override_modifier"),
        own_this=_words(
            "function_expression function_declaration generator_function generator_function_declaration function "
            "class_static_block internal_module module"
        ),
        methods=_words("method_definition"),
        inside=_words("decorator computed_property_name class_heritage"),
        bases=_words("extends_clause"),
        # A search for a pattern that begins with literal text is fast.
        used=re.compile(rf"{this}\s*[?!]?\.\s*(#?[\w$]+)(\s*(?:=(?![=>])|\?\?=|\|\|=|&&=))?"),
        bare=re.compile(rf"{this}(?!\s*[.\[?!]|[\w$])"),
        taken=re.compile(r"\{([^{}]*)\}\s*(?::[^=;{}]*)?=\s*\Z"),
        mixes=re.compile(
            rf"\b(?:{_MIXES}(?:<[^()]*>)?{_DEEP}(?:<any>)?\(*|new\s+Proxy\s*(?:<[^()]*>)?\s*\(\s*"
            r"|(?:copy|apply|mix)\w*\s*\([^()]*,\s*|[A-Z][\w$]*\s*\.\s*(?:call|apply)\s*\(\s*)\Z"
        ),
        one=re.compile(r"\s*,\s*[\"']([\w$]+)[\"']\s*,"),
        computed=re.compile(rf"{this}\s*(?:\)\s*|as\s+[^()=;]{{1,80}}\)\s*)?{_INDEX}\s*(?:=(?![=>])|\?\?=|\|\|=)"),
        alias=re.compile(r"(?<![\w$.])([\w$]+)\s*(?::[^=;{}]{0,80})?=\s*\Z"),
        fills=rf"(?<![\w$.])ALIAS\s*\[[^\]]{{0,200}}\]\s*=(?![=>])|\b{_MIXES}{_DEEP}ALIAS(?![\w$]|\s*[.\[])",
        given=re.compile(r"\.([\w$]+)\s*(?:=(?![=>])|\?\?=|\|\|=|&&=)") if grows else _NEVER,
        narrows=re.compile(
            r"\bthis\s+instanceof\b|[\"']\s+in\s+this\b(?!\s*[.\[])"
            r"|\b(?:is|has|assert|ensure)[A-Z]\w*\s*\(\s*this\b(?!\s*[.\[])"
        ),
        comments=re.compile(rf"\n[ \t]*(?://[^\n]*|{_BLOCK})"),
        declares=re.compile(
            r"(?:\A|[;{}]|\*/)\s*(?:(?:export|default|declare|abstract|async|const)\s+)*"
            r"(?:class|interface|namespace|module|enum|function|const|let|var)\s+\Z"
        ),
        mixed=re.compile(rf"\b{_MIXES}\s*\(\s*\[?(?:new\s+)?(?:[\w$]+\s*\.\s*)*\Z"),
        changed=re.compile(
            r"\s*\.\s*(?:prototype|__proto__)\b|\s*\[\s*[\"'](?:prototype|__proto__)\b"
            r"|\s*\.\s*(?:mixin|mixins|mixInto|include|implement|extend|reopen)\s*\("
        ),
        # AngularJS gives a controller the names of its bindings.
        generated=re.compile(r"@mixes\b|\bbindings\s*:|\bbindToController\b|\bngInject\b|\$onInit\b|\$onChanges\b"),
        grows=grows,
        constructors=_words("constructor"),
        harmless=_words(
            "Catch Component Controller Directive Global Injectable Module NgModule Pipe Resolver WebSocketGateway "
            "customElement"
        ),
        frameworks=_FRAMEWORKS,
        builtin=dict.fromkeys(
            _words("Error EvalError RangeError ReferenceError SyntaxError TypeError URIError"), _ERROR
        ),
    )


_JAVA = ClassKinds(
    "this",
    classes=_words("class_declaration"),
    bodies=_words("class_body"),
    members=_words("method_declaration constructor_declaration field_declaration"),
    nameless=_words(
        "line_comment block_comment block static_initializer class_declaration interface_declaration enum_declaration "
        "record_declaration annotation_type_declaration ; { }"
    ),
    parameters=frozenset(),
    promoting=frozenset(),
    own_this=_words(
        "static_initializer interface_declaration enum_declaration record_declaration annotation_type_declaration"
    ),
    methods=frozenset(),
    inside=_words("annotation marker_annotation superclass super_interfaces"),
    bases=_words("superclass"),
    interfaces=_words("super_interfaces"),
    plain=_words("AutoCloseable Callable Cloneable Closeable Comparable Runnable Serializable"),
    used=re.compile(r"this(?<![\w$.]this)\s*\.\s*([\w$]+)()"),
    bare=_NEVER,
    taken=_NEVER,
    mixes=_NEVER,
    one=_NEVER,
    computed=_NEVER,
    given=_NEVER,
    comments=re.compile(rf"\n[ \t]*(?://[^\n]*|{_BLOCK})"),
    declares=re.compile(
        r"(?:\A|[;{}])\s*(?:(?:public|protected|private|abstract|static|final|sealed|non-sealed|strictfp|@\w+)\s+)*"
        r"(?:class|interface|enum|record)\s+\Z"
    ),
    mixed=_NEVER,
    changed=_NEVER,
    narrows=_NEVER,
    generated=re.compile(r"\blombok\b|\bAutoValue\b|@Generated\b|@Roo[A-Z]"),
    constructors=_words("constructor_declaration"),
    reached=True,
)
_PHP = ClassKinds(
    "$this",
    classes=_words("class_declaration"),
    bodies=_words("declaration_list"),
    members=_words("method_declaration property_declaration"),
    nameless=_words("comment const_declaration { }"),
    parameters=_words("property_promotion_parameter"),
    promoting=_words("property_promotion_parameter"),
    own_this=_words("function_definition trait_declaration interface_declaration enum_declaration"),
    methods=frozenset(),
    inside=_words("attribute_list base_clause class_interface_clause"),
    bases=_words("base_clause"),
    interfaces=_words("class_interface_clause"),
    abstract=_words("abstract_modifier"),
    statics=_words("static_modifier"),
    used=re.compile(r"\$this\s*\??->\s*(\w+)(\s*(?:\?\?)?=(?![=>]))?"),
    bare=_NEVER,
    taken=_NEVER,
    mixes=_NEVER,
    one=_NEVER,
    computed=re.compile(
        r"\$this\s*->\s*(?:\$\w+|\{(?:[^{}]|\{[^{}]*\})*\})\s*(?:\[[^\[\]]*\]\s*)*(?:\?\?|\.)?=(?![=>])"
    ),
    given=_NEVER,
    comments=re.compile(rf"\n[ \t]*(?:(?://|#(?!\[))[^\n]*|{_BLOCK})"),
    declares=re.compile(r"(?:\A|[;{}])\s*(?:(?:abstract|final|readonly)\s+)*(?:class|interface|trait|enum)\s+\Z"),
    mixed=re.compile(r"\bclass_alias\s*\(\s*\Z"),
    changed=_NEVER,
    narrows=re.compile(r"\$this\s+instanceof\b"),
    closures=_words("anonymous_function anonymous_function_creation_expression arrow_function"),
    rebinds=re.compile(
        r"\b(?:macro|mixin|bind|bindTo)\s*\(|\}\s*\)\s*->\s*call\s*\("
        r"|->\s*(?:get|post|put|patch|delete|options|any|map|group)\s*\([^()]{0,100}[\"']/[^()]{0,100},\s*(?:function|fn)\b"
    ),
    generated=re.compile(r"\bAllowDynamicProperties\b|@(?:mixin|property|method)\b"),
    constructors=_words("__construct"),
    reached=True,
    magic=_words("__get __set __call"),
    sigil="$",
)

_TYPESCRIPT = _script(grows=False, fields="public_field_definition")
# By the name of the language.
CLASS_KINDS: dict[str, ClassKinds] = {
    "JavaScript": _script(grows=True, fields="field_definition"),
    "TypeScript": _TYPESCRIPT,
    "TSX": _TYPESCRIPT,
    "Java": _JAVA,
    "PHP": _PHP,
}

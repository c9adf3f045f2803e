"""Sets of node types over all grammars: functions, classes, names, calls."""

from __future__ import annotations

import re


def _kinds(text: str) -> frozenset[str]:
    return frozenset(text.split())


FUNCTIONS = _kinds(
    "function_definition function_declaration function_item method_definition method_declaration function_expression "
    "arrow_function lambda closure_expression func_literal constructor_declaration lambda_expression method "
    "generator_function_declaration generator_function singleton_method local_function_statement anonymous_function "
    "init_declaration function_signature_item method_signature abstract_method_signature function_signature"
)
CLASSES = _kinds(
    "class_definition class_declaration abstract_class_declaration struct_item impl_item trait_item enum_item "
    "interface_declaration enum_declaration record_declaration class class_specifier struct_specifier enum_specifier "
    "struct_type interface_type object_declaration struct_declaration union_item object_type"
)
NAMES = _kinds(
    "identifier type_identifier field_identifier property_identifier private_property_identifier constant "
    "shorthand_field_identifier simple_identifier name"
)
CALLS = _kinds("call call_expression method_invocation invocation_expression method_call_expression")
ARGUMENTS = _kinds("argument_list arguments value_arguments")

# Lists of parameters, and nodes that may surround a name where it is introduced.
PARAMETER_LISTS = _kinds(
    "parameters formal_parameters lambda_parameters closure_parameters parameter_list inferred_parameters"
)
PYTHON_PARAMETERS = _kinds("identifier typed_parameter default_parameter typed_default_parameter")
PATTERNS = _kinds(
    "pattern_list tuple_pattern expression_list array_pattern list_pattern typed_parameter required_parameter "
    "optional_parameter identifier_list mut_pattern reference_pattern ref_pattern parameter as_pattern_target "
    "variable_declarator pointer_declarator"
)
# A node of a type that matches `INTRODUCES` introduces the name in one of these fields.
INTRODUCED_FIELDS = _kinds("name pattern declarator alias parameter left parameters")
INTRODUCES = re.compile(
    r"(definition|declaration|declarator|_item|_spec|parameter|signature|_variant|_constant|enum_assignment|enumerator"
    r"|^assignment|short_var_declaration|range_clause|for_statement|for_in_statement|for_in_clause|for_expression"
    r"|field_definition|function_expression|arrow_function|closure_expression|lambda|enhanced_for_statement"
    r"|as_pattern|let_condition|import_specifier|aliased_import|method)$"
)
USED_FIELDS = _kinds("value type right body")
# Keys and labels, which do not refer to a variable, and the fields that contain them.
LABELLED = _kinds("pair keyed_element field_initializer named_argument keyword_argument")
LABEL_FIELDS = _kinds("key name field")

# Names of languages.
AWAITING = frozenset({"Python", "JavaScript", "TypeScript", "TSX", "Rust"})
# Languages in which a method of the same object is called by its name alone.
WITHOUT_SELF = frozenset({"Java", "C#", "C++", "Kotlin", "Scala", "Swift", "Ruby"})
SELVES = frozenset({b"self", b"cls", b"&self", b"&mut self", b"mut self", b"this"})

# Modules that a Python program imports by name alone, and that are recognised by a dot after the name.
_MODULE_NAMES = _kinds(
    "abc argparse array ast asyncio base64 bisect bz2 calendar collections configparser contextlib copy csv ctypes "
    "dataclasses datetime decimal difflib enum errno fnmatch fractions functools gc getpass glob gzip hashlib heapq "
    "hmac html http importlib inspect io itertools json locale logging lzma math mimetypes multiprocessing operator "
    "os pathlib pickle platform pprint queue random re sched secrets select shlex shutil signal socket sqlite3 ssl "
    "statistics string struct subprocess sys tempfile textwrap threading time timeit tokenize traceback types typing "
    "unicodedata unittest urllib uuid warnings weakref zipfile zlib zoneinfo"
)
MODULES = frozenset(map(str.encode, _MODULE_NAMES))

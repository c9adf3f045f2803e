"""Sets of node types with the same meaning, over all grammars that there are rules for."""

from __future__ import annotations


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


CALLS = _words(
    "call call_expression new_expression method_invocation object_creation_expression function_call_expression "
    "member_call_expression nullsafe_member_call_expression scoped_call_expression macro_invocation "
    "include_expression include_once_expression require_expression require_once_expression shell_command_expression "
    "subshell echo_statement print_intrinsic"
)
BY_WORD = {
    "include_expression": "include",
    "include_once_expression": "include_once",
    "require_expression": "require",
    "require_once_expression": "require_once",
    "shell_command_expression": "`",
    "subshell": "`",
    "echo_statement": "echo",
    "print_intrinsic": "print",
}
# Node types that assign a value to a name, with the fields of both.
SETS = {
    "assignment": ("left", "right"),
    "assignment_expression": ("left", "right"),
    "assignment_statement": ("left", "right"),
    "augmented_assignment": ("left", "right"),
    "augmented_assignment_expression": ("left", "right"),
    "operator_assignment": ("left", "right"),
    "named_expression": ("name", "value"),
    "variable_declarator": ("name", "value"),
    "short_var_declaration": ("left", "right"),
    "var_spec": ("name", "value"),
    "const_spec": ("name", "value"),
    "init_declarator": ("declarator", "value"),
    "let_declaration": ("pattern", "value"),
    "const_item": ("name", "value"),
    "static_item": ("name", "value"),
    "public_field_definition": ("name", "value"),
    "field_definition": ("property", "value"),
    "default_parameter": ("name", "value"),
    "typed_default_parameter": ("name", "value"),
    "keyword_argument": ("name", "value"),
    "pair": ("key", "value"),
    "preproc_def": ("name", "value"),
    "field_declaration": ("declarator", "default_value"),
    "field_initializer": ("field", "value"),
    "property_element": ("", ""),
    "const_element": ("", ""),
    "keyed_element": ("", ""),
    "array_element_initializer": ("", ""),
}
ADDS = frozenset({"augmented_assignment", "augmented_assignment_expression", "operator_assignment"})
KEYWORDS = frozenset({"keyword_argument", "pair"})
FUNCTIONS = _words(
    "function_definition function_declaration method_declaration constructor_declaration method_definition "
    "function_expression generator_function_declaration arrow_function func_literal function_item method "
    "singleton_method lambda anonymous_function lambda_expression closure_expression"
)
STRINGS = _words(
    "string string_literal interpreted_string_literal raw_string_literal template_string encapsed_string "
    "char_literal character_literal heredoc nowdoc heredoc_body"
)
HOLES = frozenset({"interpolation", "template_substitution", "string_interpolation"})
CONSTANTS = _words(
    "integer float int_literal float_literal number number_literal integer_literal decimal_integer_literal true false "
    "none null nil boolean boolean_literal null_literal"
)
WRAPPERS = _words(
    "parenthesized_expression argument reference_expression literal_element expression_list await_expression await "
    "unary_op_expression non_null_expression as_expression cast_expression type_conversion_expression "
    "pointer_expression try_expression by_ref satisfies_expression block_argument"
)
DOTTED = _words(
    "attribute member_expression selector_expression field_expression field_access scoped_identifier "
    "qualified_identifier scope_resolution member_access_expression class_constant_access_expression "
    "scoped_property_access_expression qualified_name generic_function subscript subscript_expression "
    "scoped_type_identifier template_function optional_chain nullsafe_member_access_expression"
)
SUMS = frozenset({"binary_operator", "binary_expression", "binary", "concatenated_string", "chained_string"})
NAMES = frozenset({"identifier", "variable_name", "shorthand_property_identifier"})
# Node types that may build a text from parts.
TEXTS = _words(
    "binary_operator binary_expression binary string template_string encapsed_string concatenated_string call "
    "call_expression method_invocation function_call_expression macro_invocation heredoc string_literal "
    "chained_string heredoc_body"
)

--- The options: what there is, and clear words for what is wrong with them.

local M = {}

---@class fimble.Options
M.defaults = {
  -- Whether suggestions are shown; `:Fimble toggle` changes it.
  enabled = true,
  -- Off by file type. `*` stands for all that are not named.
  filetypes = { ['*'] = true, gitrebase = false, help = false },
  -- How to start the server. Empty: `fimble serve`, found on the PATH or where pipx and uv put it.
  cmd = {},
  -- The server's settings, as in fimble.toml, e.g. { model = '/models/coder.gguf' }.
  settings = {},
  -- What marks the root folder of a project.
  root_markers = { '.git', 'pyproject.toml', 'package.json', 'Cargo.toml', 'go.mod' },
  -- Hide suggestions while a completion menu is open.
  hide_with_menu = true,
  -- One line in the corner while the model loads, reads or writes, and while an action is carried out.
  progress = true,
  -- On Neovim 0.12: whether its own inline completion shows the suggestions; else fimble's, as on 0.11.
  builtin = true,
  -- Insert mode. `false` sets no key. All but trigger do what they did before when nothing is shown.
  keys = {
    accept = '<Tab>',
    accept_word = '<M-w>',
    accept_line = '<M-l>',
    next = '<M-n>',
    previous = '<M-p>',
    dismiss = '<C-]>',
    trigger = '<M-\\>',
  },
  -- Normal mode: go to the next edit, and there make it; put it away. `false` sets no key.
  edit_keys = { accept = ']e', reject = '[e' },
}

---@type fimble.Options
M.options = vim.deepcopy(M.defaults)

-- Tables whose names are the user's own.
local OPEN = { filetypes = true, settings = true, cmd = true, root_markers = true }

local function names(known)
  local found = vim.tbl_keys(known)
  table.sort(found)
  return table.concat(found, ', ')
end

local function check(given, known, prefix, problems)
  local good = {}
  for name, value in pairs(given) do
    local default = known[name]
    local expected = type(default)
    local key = prefix == 'keys.' or prefix == 'edit_keys.'
    if default == nil then
      problems[#problems + 1] = ('unknown option `%s%s`; known are %s'):format(prefix, name, names(known))
    elseif type(value) ~= expected and not (key and value == false) then
      local wanted = key and 'a string or false' or 'a ' .. expected
      problems[#problems + 1] = ('option `%s%s`: expected %s, found %s'):format(prefix, name, wanted, vim.inspect(value))
    elseif expected == 'table' and not OPEN[name] then
      good[name] = check(value, default, name .. '.', problems)
    else
      good[name] = value
    end
  end
  return good
end

--- Takes the user's options over the defaults, and returns what is wrong with them; what is wrong is left out.
---@param given table
---@return string[]
function M.set(given)
  local problems = {}
  local good = check(given, M.defaults, '', problems)
  M.options = vim.tbl_deep_extend('force', vim.deepcopy(M.defaults), good)
  for _, list in ipairs({ 'cmd', 'root_markers' }) do
    M.options[list] = good[list] or M.options[list] -- a list replaces the default; it is not merged into it
  end
  return problems
end

--- Whether fimble serves buffers of this file type.
---@param filetype string
function M.wants(filetype)
  local one = M.options.filetypes[filetype]
  if one ~= nil then
    return one
  end
  return filetype ~= '' and M.options.filetypes['*'] ~= false
end

--- Whether suggestions are to be shown in a buffer.
---@param buf integer
function M.shows(buf)
  return M.options.enabled and M.wants(vim.bo[buf].filetype)
end

return M

--- Keys in insert mode: each does its work if something is shown, and else what it did before.

local M = {}

local set = {} ---@type table<string, table> what a key was before, by the key

local function run(name)
  local inline = require('fimble.inline')
  if name == 'accept' then
    return inline.accept('all')
  elseif name == 'accept_word' then
    return inline.accept('word')
  elseif name == 'accept_line' then
    return inline.accept('line')
  elseif name == 'next' then
    return inline.select(1)
  elseif name == 'previous' then
    return inline.select(-1)
  elseif name == 'dismiss' then
    return inline.dismiss()
  end
  return inline.trigger()
end

local function raw(keys)
  return vim.api.nvim_replace_termcodes(keys, true, true, true)
end

--- Does what the key did before: another mapping's work, or its own. `before` is as of maparg().
---@param key string
---@param before table
local function fall_through(key, before)
  local keys, remap = raw(key), false
  if not next(before) and key:lower():find('^<[ma]%-') then
    return -- Neovim would insert the letter
  end
  if next(before) then
    remap = before.noremap == 0
    local result = before.callback and before.callback() or nil
    if before.expr == 1 then
      keys = result or (not before.callback and vim.api.nvim_eval(before.rhs)) or ''
      keys = before.replace_keycodes == 1 and raw(keys) or keys
    elseif before.callback then
      return
    else
      keys = raw((before.rhs:gsub('<SID>', ('<SNR>%d_'):format(before.sid))))
    end
  end
  -- A mapping onto itself means the key, not the mapping again.
  remap = remap and not vim.startswith(keys, raw(key))
  vim.api.nvim_feedkeys(keys, remap and 'im' or 'in', false)
end

--- Sets the keys; those set before and not named any more get back what they were.
---@param keys table<string, string|false>
function M.set(keys)
  for key, before in pairs(set) do
    vim.keymap.del('i', key)
    if next(before) then
      vim.fn.mapset('i', false, before)
    end
  end
  set = {}
  for name, key in pairs(keys) do
    if key then
      local before = vim.fn.maparg(key, 'i', false, true)
      if before.buffer == 1 then
        before = {} -- it still comes first in its own buffer
      end
      set[key] = before
      vim.keymap.set('i', key, function()
        if not run(name) then
          fall_through(key, before)
        end
      end, { desc = 'fimble: ' .. name:gsub('_', ' ') })
    end
  end
end

return M

--- Neovim 0.12's own inline completion: switched on and off, and accepted with care.
---
--- It waits 200 ms after a key, and until then keeps a suggestion that typing may have made wrong. So what it
--- offers is accepted only where it fits the text as it is now.

local config = require('fimble.config')
local ghost = require('fimble.ghost')
local suggestions = require('fimble.suggestion')

local M = {}

local WAIT_MS = 100

---@return boolean
function M.used()
  return config.options.builtin and vim.lsp.inline_completion ~= nil
end

local enabled = {} ---@type table<integer, boolean> by buffer

---@param buf integer
---@param on boolean
---@return boolean whether that was a change
function M.enable(buf, on)
  on = on and config.options.builtin
  if not vim.lsp.inline_completion or enabled[buf] == on then
    return false
  end
  enabled[buf] = on
  vim.lsp.inline_completion.enable(on, { bufnr = buf })
  return true
end

---@param buf integer
function M.forget(buf)
  enabled[buf] = nil
end

--- An item of Neovim's as a suggestion for the cursor's place; nil if typing has made it wrong.
---@return fimble.Suggestion?
local function fit(item, place)
  local range
  if item.range then
    local row, col, end_row, end_col = item.range:to_extmark()
    if item.range:is_empty() then
      -- What has been typed since is part of it.
      end_col = end_row == place.row and math.max(end_col, place.col) or end_col
    elseif row ~= place.row or col ~= place.col then
      return nil -- what it replaces has moved
    end
    range = { start = { line = row, character = col }, ['end'] = { line = end_row, character = end_col } }
  end
  local as_sent = { insertText = item.insert_text, range = range, command = item.command }
  return suggestions.of(as_sent, place.row, place.col, place.before .. place.after, 'utf-8')
end

--- Takes the item that is on the screen off it; nil if there is none, or it no longer fits.
---@return fimble.Suggestion?, integer?
local function take()
  local taken, client, done
  local offered = vim.lsp.inline_completion.get({
    on_accept = function(item)
      taken, client, done = fit(item, ghost.place()), item.client_id, true
    end,
  })
  if offered then
    -- It runs on_accept from the event loop; keys that are typed ahead must not come first.
    vim.wait(WAIT_MS, function()
      return done
    end, 1)
  end
  return taken, client
end

--- What Neovim keeps about a buffer. Not part of its interface: where it is not as in 0.12, nothing is found, and
--- a suggestion that typing has made wrong stays until Neovim's next answer.
local function state(buf)
  local ok, capability = pcall(require, 'vim.lsp._capability')
  local kind = ok and type(capability.all) == 'table' and capability.all.inline_completion
  local found = kind and type(kind.active) == 'table' and kind.active[buf]
  if found and type(found.hide) == 'function' and type(found.request) == 'function' then
    return found
  end
end

--- Takes an item that replaces something from Neovim, which would draw it over the rest of the line, and would no
--- longer know what it replaces once a key has been typed. nil if it shows none such.
---@param place table
---@return fimble.Suggestion?, integer?
function M.take_replacing(place)
  local found = state(place.buf)
  local item = found and found.current
  if not item or not item.range or item.range:is_empty() then
    return nil
  end
  found.current = nil
  found:hide()
  return fit(item, place), item.client_id
end

--- The text that Neovim shows in a buffer, as it came from the server, and the item that it is of.
---@param buf integer
---@return string?, table?
function M.text(buf)
  local found = state(buf)
  local item = found and found.current
  return item and item.insert_text, item or nil
end

--- Takes a suggestion off the screen that typing has made wrong.
function M.drop_stale()
  local place = ghost.place()
  local found = state(place.buf)
  if found and found.current and not fit(found.current, place) then
    found.current = nil
    found:hide()
  end
end

--- Asks for more of what is shown.
---@param buf integer
---@param kind integer
function M.ask(buf, kind)
  local found = state(buf)
  if found then
    found:request(kind)
  end
end

---@param part 'all'|'word'|'line'
---@return boolean
function M.accept(part)
  local taken, client = take()
  if not taken then
    return false
  end
  ghost.show({ taken }, client)
  return ghost.accept(part)
end

---@param count integer
---@return boolean
function M.select(count)
  if not M.text(vim.api.nvim_get_current_buf()) then
    return false
  end
  vim.lsp.inline_completion.select({ count = count })
  return true
end

---@return boolean
function M.dismiss()
  return take() ~= nil
end

return M

--- Next edits: what the server proposes somewhere else, drawn there, and the keys that go to it and make it.
---
--- What is shown counts for one state of its buffer. The buffer's changedtick says whether that is still the state, both
--- when it is drawn and when it is made.

local clients = require('fimble.client')
local config = require('fimble.config')
local ghost = require('fimble.ghost')
local suggestions = require('fimble.suggestion')

local M = {}

local api = vim.api
local METHOD, SHOWN = 'textDocument/copilotInlineEdit', 'textDocument/didShowInlineEdit'
local REJECT = 'fimble.rejectNextEdit'
local AUTOMATIC = 2
local COMES, GOES, HINT = 'FimbleNextEdit', 'FimbleNextEditDelete', 'FimbleNextEditHint'
local LEAST_LINES = 2 -- an edit so near needs no hint
local namespace = api.nvim_create_namespace('fimble.edits')

---@class fimble.Edit
---@field buf integer
---@field tick integer of the buffer, for which alone it counts
---@field first integer[] where it begins: row and column in bytes, from 0
---@field last integer[]
---@field text string
---@field edit table as the server sent it
---@field client integer

local shown ---@type fimble.Edit?
local turn = 0 -- of the request whose answer counts

local function erase()
  for _, buf in ipairs(api.nvim_list_bufs()) do
    if api.nvim_buf_is_loaded(buf) then
      api.nvim_buf_clear_namespace(buf, namespace, 0, -1)
    end
  end
end

--- Hides what is shown; what was asked counts no more.
function M.clear()
  turn = turn + 1
  if shown then
    shown = nil
    erase()
  end
end

--- What is shown, if its buffer is as it was.
---@return fimble.Edit?
function M.current()
  if shown and api.nvim_buf_is_loaded(shown.buf) and api.nvim_buf_get_changedtick(shown.buf) == shown.tick then
    return shown
  end
end

local function place(buf, position, encoding)
  local line = api.nvim_buf_get_lines(buf, position.line, position.line + 1, false)[1] or ''
  return { position.line, suggestions.byte_of(line, position.character, encoding) }
end

--- Draws what goes and what comes. A text in one line is shown in it; one of several lines below.
local function draw(edit)
  local lines = vim.split(edit.text, '\n', { plain = true })
  if edit.last[1] > edit.first[1] or edit.last[2] > edit.first[2] then
    local last = math.min(edit.last[1], api.nvim_buf_line_count(edit.buf) - 1)
    local col = last == edit.last[1] and edit.last[2] or nil
    api.nvim_buf_set_extmark(edit.buf, namespace, edit.first[1], edit.first[2], {
      end_row = last,
      end_col = col or #(api.nvim_buf_get_lines(edit.buf, last, last + 1, false)[1] or ''),
      hl_group = GOES,
      strict = false,
    })
  end
  if #lines == 1 then
    local row = math.min(edit.last[1], api.nvim_buf_line_count(edit.buf) - 1)
    local mark = { virt_text = { { lines[1], COMES } }, virt_text_pos = 'inline', strict = false }
    api.nvim_buf_set_extmark(edit.buf, namespace, row, row == edit.last[1] and edit.last[2] or 0, mark)
    return
  end
  -- Whole lines: with what stands left of them and right of them in the buffer.
  local function line(row)
    return api.nvim_buf_get_lines(edit.buf, row, row + 1, false)[1] or ''
  end
  local inserts = edit.first[1] == edit.last[1] and edit.first[2] == edit.last[2]
  if inserts and lines[1] == '' and edit.first[2] == #line(edit.first[1]) then
    table.remove(lines, 1) -- lines behind one that stays
  else
    lines[1] = line(edit.first[1]):sub(1, edit.first[2]) .. lines[1]
  end
  lines[#lines] = lines[#lines] .. line(edit.last[1]):sub(edit.last[2] + 1)
  local above = false
  if inserts and edit.first[2] == 0 then
    lines[#lines] = nil -- lines in front of one that stays
    above = true
  end
  local virtual = {}
  for _, each in ipairs(lines) do
    virtual[#virtual + 1] = { { each == '' and ' ' or each, COMES } }
  end
  local row = math.min(above and edit.first[1] or edit.last[1], api.nvim_buf_line_count(edit.buf) - 1)
  local mark = { virt_lines = virtual, virt_lines_above = above and row > 0, strict = false }
  api.nvim_buf_set_extmark(edit.buf, namespace, row, 0, mark)
end

--- Says where the edit is, at the end of the cursor's line, if it cannot be seen or is in another buffer.
local function hint(edit)
  local buf, row = api.nvim_get_current_buf(), api.nvim_win_get_cursor(0)[1] - 1
  local line = edit.first[1] + 1
  local near = buf == edit.buf and math.abs(row - edit.first[1]) <= LEAST_LINES
  local seen = buf == edit.buf and line >= vim.fn.line('w0') and line <= vim.fn.line('w$')
  if near or seen then
    return
  end
  local where = buf == edit.buf and ('line %d'):format(line)
    or ('%s:%d'):format(vim.fn.fnamemodify(api.nvim_buf_get_name(edit.buf), ':t'), line)
  local text = ('  next edit: %s (%s)'):format(where, config.options.edit_keys.accept or ':Fimble edit')
  api.nvim_buf_set_extmark(buf, namespace, row, 0, { virt_text = { { text, HINT } }, virt_text_pos = 'eol' })
end

local function answered(client, ticks, result)
  local edit = result and result.edits and result.edits[1]
  if not edit or ghost.text() then
    return
  end
  local buf = vim.fn.bufnr(vim.uri_to_fname(edit.textDocument.uri))
  if buf < 0 or not api.nvim_buf_is_loaded(buf) or ticks[buf] ~= api.nvim_buf_get_changedtick(buf) then
    return
  end
  erase()
  shown = {
    buf = buf,
    tick = ticks[buf],
    first = place(buf, edit.range.start, client.offset_encoding),
    last = place(buf, edit.range['end'], client.offset_encoding),
    text = edit.text:gsub('\r\n', '\n'),
    edit = edit,
    client = client.id,
  }
  draw(shown)
  hint(shown)
  clients.call(client, 'notify', SHOWN, { item = { command = edit.command } })
end

--- Asks for the edit that follows from the last ones; the server waits for a pause in the typing.
function M.ask()
  local buf = api.nvim_get_current_buf()
  local client = clients.of(buf)
  if not client or not client.initialized or not config.shows(buf) then
    return
  end
  M.clear()
  local mine, ticks = turn, {}
  for each in pairs(client.attached_buffers) do
    ticks[each] = api.nvim_buf_get_changedtick(each)
  end
  local params = vim.lsp.util.make_position_params(0, client.offset_encoding)
  params.context = { triggerKind = AUTOMATIC }
  params.files = true
  clients.call(client, 'request', METHOD, params, function(err, result)
    if turn == mine and not err and result ~= vim.NIL then
      answered(client, ticks, result)
    end
  end, buf)
end

--- Goes to the edit; where the cursor is there already, makes it. Returns whether there is one.
function M.accept()
  local edit = M.current()
  if not edit then
    return false
  end
  local row = api.nvim_win_get_cursor(0)[1] - 1
  if api.nvim_get_current_buf() ~= edit.buf then
    vim.cmd.buffer(edit.buf)
    row = -1
  end
  if row < edit.first[1] or row > edit.last[1] then
    vim.cmd("normal! m'")
    api.nvim_win_set_cursor(0, { math.min(edit.first[1] + 1, api.nvim_buf_line_count(edit.buf)), edit.first[2] })
    return true
  end
  local client = vim.lsp.get_client_by_id(edit.client)
  shown = nil
  erase()
  if client then
    vim.lsp.util.apply_text_edits({ { range = edit.edit.range, newText = edit.edit.text } }, edit.buf, client.offset_encoding)
    clients.execute(client, edit.edit.command, edit.buf)
  end
  return true
end

--- Hides the edit, and has the server not propose it again. Returns whether there was one.
function M.reject()
  local edit = M.current()
  local client = edit and vim.lsp.get_client_by_id(edit.client)
  if not client then
    return false
  end
  local command = vim.tbl_extend('force', edit.edit.command, { command = REJECT })
  clients.execute(client, command, edit.buf)
  M.clear()
  return true
end

function M.highlights()
  api.nvim_set_hl(0, COMES, { link = 'DiffAdd', default = true })
  api.nvim_set_hl(0, GOES, { link = 'DiffDelete', default = true })
  api.nvim_set_hl(0, HINT, { link = 'Comment', default = true })
end

--- Sets the keys of normal mode; each does what it did before where there is no edit.
local function set_keys()
  for name, key in pairs(config.options.edit_keys) do
    if key then
      local before = vim.fn.maparg(key, 'n')
      vim.keymap.set('n', key, function()
        if not M[name]() then
          local keys = api.nvim_replace_termcodes(before ~= '' and before or key, true, true, true)
          api.nvim_feedkeys(keys, before ~= '' and 'm' or 'n', false)
        end
      end, { desc = 'fimble: next edit, ' .. name })
    end
  end
end

--- Registers the events and sets the keys. Called once.
function M.start()
  local group = api.nvim_create_augroup('fimble.edits', {})
  M.highlights()
  set_keys()
  api.nvim_create_autocmd('ColorScheme', { group = group, callback = M.highlights })
  api.nvim_create_autocmd({ 'TextChanged', 'TextChangedI', 'InsertLeave' }, { group = group, callback = M.ask })
  api.nvim_create_autocmd('BufUnload', { group = group, callback = M.clear })
end

return M

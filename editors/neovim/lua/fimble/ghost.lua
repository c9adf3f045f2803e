--- Ghost text: the suggestions shown at the cursor, what typing leaves of them, and accepting them.
---
--- One key may be handled before the event of the key before it. So nothing is believed of what was shown: the
--- buffer's changedtick and text say what is left of it, both when it is drawn and when it is accepted.

local suggestions = require('fimble.suggestion')

local M = {}

local api = vim.api
local namespace = api.nvim_create_namespace('fimble')
-- Combined with what is around it, it loses its colour behind a bracket that is highlighted as the cursor's.
local HL_MODE = 'replace'
local MARK, REPLACED, PIECE = 1, 2, 3 -- and from the last one on, as many as there are

---@class fimble.Shown
---@field buf integer
---@field tick integer
---@field row integer
---@field col integer in bytes
---@field before string the line left of the cursor
---@field after string the line right of the cursor
---@field lines integer of the buffer
---@field items fimble.Suggestion[]
---@field index integer of the item on the screen
---@field counted boolean whether "2/3" is shown behind it
---@field client integer

local shown ---@type fimble.Shown?
local told ---@type integer? the number of the suggestion that the server knows to be on the screen
local drawn ---@type string? what the screen has, so that it is drawn again only when it changes

--- Where the cursor is and what is around it.
function M.place()
  local cursor = api.nvim_win_get_cursor(0)
  local buf, line = api.nvim_get_current_buf(), api.nvim_get_current_line()
  return {
    buf = buf,
    tick = api.nvim_buf_get_changedtick(buf),
    row = cursor[1] - 1,
    col = cursor[2],
    before = line:sub(1, cursor[2]),
    after = line:sub(cursor[2] + 1),
    lines = api.nvim_buf_line_count(buf),
  }
end

local function erase()
  if drawn then
    drawn = nil
    for _, buf in ipairs(api.nvim_list_bufs()) do
      if api.nvim_buf_is_loaded(buf) then
        api.nvim_buf_clear_namespace(buf, namespace, 0, -1)
      end
    end
  end
end

function M.clear()
  shown = nil
  erase()
end

--- What was typed since `from` was shown, if nothing else has happened in its buffer; else nil. And how many
--- characters right of the cursor that went over, as editors do with brackets that they have closed.
---@return string?, integer?
local function typed_since(from, place)
  if place.buf ~= from.buf then
    return nil
  end
  if place.tick == from.tick and place.col == from.col then
    return place.row == from.row and '' or nil, 0
  end
  local passed = #from.after - #place.after
  if place.row < from.row or place.lines - from.lines ~= place.row - from.row then
    return nil
  end
  if passed < 0 or place.after ~= from.after:sub(passed + 1) or (place.tick == from.tick and passed == 0) then
    return nil
  end
  if place.row == from.row and place.col < from.col then
    return nil
  end
  local first = api.nvim_buf_get_lines(place.buf, from.row, from.row + 1, false)[1]
  if not first or first:sub(1, from.col) ~= from.before then
    return nil
  end
  local text = api.nvim_buf_get_text(place.buf, from.row, from.col, place.row, place.col, {})
  return table.concat(text, '\n'), passed
end

--- What is shown, brought up to date with the buffer; nil, and nothing is shown, if nothing is left of it.
---@return fimble.Shown?
function M.current()
  if not shown then
    return nil
  end
  local place = M.place()
  local typed, passed = typed_since(shown, place)
  if typed == '' and place.tick == shown.tick then
    return shown
  end
  local items, index = {}, nil
  for number, item in ipairs(typed and shown.items or {}) do
    local rest = suggestions.rest(item, typed, passed)
    if rest then
      items[#items + 1] = rest
      if number == shown.index then
        index = #items
      end
    end
  end
  if #items == 0 then
    M.clear()
    return nil
  end
  shown = vim.tbl_extend('error', place, {
    items = items,
    index = index or 1,
    counted = shown.counted,
    client = shown.client,
  })
  return shown
end

--- How many screen rows there are below the cursor's line, with `added` cells of text more in it.
---@param added integer
---@return integer
function M.rows_below(added)
  local info = vim.fn.getwininfo(api.nvim_get_current_win())[1]
  local width = math.max(1, info.width - info.textoff)
  local row, line = vim.fn.winline(), api.nvim_get_current_line()
  local before = vim.fn.strdisplaywidth(line:sub(1, api.nvim_win_get_cursor(0)[2]))
  local rows = vim.wo.wrap and math.ceil((vim.fn.strdisplaywidth(line) + added) / width) or 1
  local above = vim.wo.wrap and math.floor(before / width) or 0
  return math.max(0, info.height - row - math.max(0, rows - 1 - above))
end

--- Tells the server, which counts on this machine what becomes of its suggestions, that one is on the screen.
---@param item { command?: lsp.Command }
---@param client_id integer
---@param again? boolean whether to tell it, too, if that has been told already
function M.tell_shown(item, client_id, again)
  local number = item.command and item.command.arguments and item.command.arguments[1]
  local client = vim.lsp.get_client_by_id(client_id)
  if number and (again or number ~= told) and client then
    told = number
    local params = { item = { command = item.command } }
    require('fimble.client').call(client, 'notify', 'textDocument/didShowCompletion', params)
  end
end

--- Draws what is shown.
function M.draw()
  local now = M.current()
  if not now then
    return erase()
  end
  local item = now.items[now.index]
  local tabstop = vim.bo[now.buf].tabstop
  local lines = vim.split(item.text, '\n', { plain = true })
  local below = #lines > 1 and M.rows_below(api.nvim_strwidth(lines[1])) or 0
  local key =
    table.concat({ now.buf, now.tick, now.row, now.col, now.index, item.text, tostring(now.counted), below }, '\0')
  if key == drawn then
    return
  end
  erase()
  drawn = key
  local rest = {}
  for number = 2, #lines do
    rest[#rest + 1] = { { suggestions.expand(lines[number], 0, tabstop), 'FimbleSuggestion' } }
  end
  local column = api.nvim_strwidth(suggestions.expand(now.before, 0, tabstop))
  local pieces = suggestions.pieces(item)
  local first = { { suggestions.expand(pieces and pieces[1] or lines[1], column, tabstop), 'FimbleSuggestion' } }
  local behind = {}
  for number = 2, pieces and #pieces or 0 do
    behind[number] = pieces[number] ~= '' and { { (pieces[number]:gsub('\t', (' '):rep(tabstop))), 'FimbleSuggestion' } } or nil
  end
  -- Neovim shows no virtual line below the window's last row.
  local hidden = #rest - math.min(#rest, below)
  if hidden > 0 then
    for _ = 1, hidden do
      rest[#rest] = nil
    end
    local last = rest[#rest] or pieces and behind[#pieces] or first
    last[#last + 1] = { (' +%d line%s'):format(hidden, hidden == 1 and '' or 's'), 'FimbleCount' }
  end
  if now.counted then
    local last = rest[#rest] or pieces and behind[#pieces] or first
    last[#last + 1] = { (' (%d/%d)'):format(now.index, #now.items), 'FimbleCount' }
  end
  api.nvim_buf_set_extmark(now.buf, namespace, now.row, now.col, {
    id = MARK,
    virt_text = first,
    virt_text_pos = 'inline',
    virt_lines = #rest > 0 and rest or nil,
    hl_mode = HL_MODE,
    undo_restore = false,
  })
  for number, piece in pairs(behind) do
    api.nvim_buf_set_extmark(now.buf, namespace, now.row, now.col + number - 1, {
      id = PIECE + number,
      virt_text = piece,
      virt_text_pos = 'inline',
      hl_mode = HL_MODE,
      undo_restore = false,
    })
  end
  if item.replaces ~= '' and not pieces then
    api.nvim_buf_set_extmark(now.buf, namespace, now.row, now.col, {
      id = REPLACED,
      end_col = now.col + #item.replaces,
      hl_group = 'FimbleReplaced',
      undo_restore = false,
    })
  end
  M.tell_shown(item, now.client)
end

--- Shows suggestions that were made for the cursor's place as it is now.
---@param items fimble.Suggestion[]
---@param client integer
function M.show(items, client)
  if #items == 0 then
    return M.clear()
  end
  local before = M.current()
  local index, counted = 1, false
  for number, item in ipairs(items) do
    -- What the user has chosen stays, if it is still among them.
    if before and before.counted and vim.startswith(item.text, before.items[before.index].text) then
      index, counted = number, true
      break
    end
  end
  shown = vim.tbl_extend('error', M.place(), { items = items, index = index, counted = counted, client = client })
  M.draw()
end

--- The text of the suggestion on the screen, as far as it is still to be inserted.
---@return string?
function M.text()
  local now = M.current()
  return now and now.items[now.index].text
end

--- Goes to another suggestion; around at either end.
---@param count integer
---@return boolean
function M.select(count)
  local now = M.current()
  if not now then
    return false
  end
  now.index = (now.index - 1 + count) % #now.items + 1
  now.counted = true
  M.draw()
  return true
end

--- Puts text at the cursor, in place of `replaces` behind it, and the cursor behind it. An undo step of its own.
---@param text string
---@param replaces string
function M.insert(text, replaces)
  local place = M.place()
  local lines = vim.split(text, '\n', { plain = true })
  vim.bo.undolevels = vim.bo.undolevels -- ends the undo step of what was typed before
  api.nvim_buf_set_text(place.buf, place.row, place.col, place.row, place.col + #replaces, lines)
  local col = #lines == 1 and place.col + #text or #lines[#lines]
  api.nvim_win_set_cursor(0, { place.row + #lines, col })
  vim.bo.undolevels = vim.bo.undolevels
end

--- Runs the command of a suggestion that has been accepted. more: says so if it was a part of it.
---@param now fimble.Shown
---@param item fimble.Suggestion
---@param more string[]
local function run_command(now, item, more)
  local client, command = vim.lsp.get_client_by_id(now.client), item.command
  if command and client and (#more == 0 or command.command == 'fimble.accepted') then
    local arguments = vim.list_extend(vim.deepcopy(command.arguments or {}), more)
    local made = { title = command.title, command = command.command, arguments = arguments }
    require('fimble.client').execute(client, made, now.buf)
  end
end

--- Accepts the suggestion or a part of it; the rest stays on the screen.
---@param part 'all'|'word'|'line'
---@return boolean whether there was one
function M.accept(part)
  local now = M.current()
  if not now then
    return false
  end
  local item = now.items[now.index]
  local text = part == 'word' and suggestions.word(item.text)
    or part == 'line' and suggestions.line(item.text)
    or item.text
  local passed = suggestions.passed(item, text)
  -- Neovim holds changes back for a moment, and before a notification it sends them: a key that was just typed must not
  -- become one change with the text that is accepted.
  M.tell_shown(item, now.client, true)
  local rest = suggestions.rest(item, text, passed)
  if rest then
    M.insert(text, item.replaces:sub(1, passed))
    shown = vim.tbl_extend('error', M.place(), { items = { rest }, index = 1, counted = false, client = now.client })
    M.draw()
    run_command(now, item, { 'part' })
  else
    M.clear()
    text = item.text
    M.insert(text, item.replaces)
    run_command(now, item, {})
  end
  local data = { text = text, part = part }
  api.nvim_exec_autocmds('User', { pattern = 'FimbleAccepted', modeline = false, data = data })
  return true
end

--- Whether a terminal without true colour shows what is in a group unlike other text.
---@param name string
---@return boolean
local function is_seen(name)
  local found = api.nvim_get_hl(0, { name = name, link = false })
  return (found.ctermfg or found.ctermbg or next(found.cterm or {})) ~= nil
end

--- Links a group to another one. A terminal without true colour does not show what has a colour of that kind only,
--- which colour schemes give NonText, Neovim's own since 0.10: there the text is grey, and leans where there is no grey.
---@param name string
---@param to string
local function linked(name, to)
  if is_seen(to) then
    return api.nvim_set_hl(0, name, { link = to, default = true })
  end
  local found = api.nvim_get_hl(0, { name = to, link = false })
  local grey = (tonumber(vim.fn.eval('&t_Co')) or 256) >= 16 and 8 or nil -- `t_Co` is empty without a terminal
  local cterm = { italic = not grey }
  api.nvim_set_hl(0, name, vim.tbl_extend('force', found, { ctermfg = grey, cterm = cterm, default = true }))
end

--- The colours; a colour scheme may set them.
function M.highlights()
  linked('FimbleSuggestion', 'NonText')
  linked('FimbleCount', 'MoreMsg')
  if vim.fn.hlexists('ComplHint') == 1 then -- what Neovim 0.12 shows suggestions in
    for group, to in pairs({ ComplHint = 'NonText', ComplHintMore = 'MoreMsg' }) do
      -- A default does not come back where a link has been taken away, so one that is seen stays.
      if api.nvim_get_hl(0, { name = group }).link == to and not is_seen(to) then
        api.nvim_set_hl(0, group, {})
        linked(group, to)
      end
    end
  end
  api.nvim_set_hl(0, 'FimbleReplaced', { link = 'DiffDelete', default = true })
end

return M

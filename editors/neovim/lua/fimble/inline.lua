--- Inline completion: asks the server at each key, and hands its answers to whoever shows them.
---
--- Neovim 0.12 asks and shows by itself (fimble.builtin); this then only keeps what a partial acceptance left.

local builtin = require('fimble.builtin')
local clients = require('fimble.client')
local config = require('fimble.config')
local ghost = require('fimble.ghost')
local menu = require('fimble.menu')
local notice = require('fimble.notice')
local state = require('fimble.state')
local suggestions = require('fimble.suggestion')

local M = {}

local api = vim.api
local METHOD = 'textDocument/inlineCompletion'
local INVOKED, AUTOMATIC = 1, 2
-- The server answers early with what it has decoded. Without a key it is asked for the rest after this long, and
-- after twice as long each time that nothing has been added.
local REST_MS, LONGEST_REST_MS = 150, 2400

local pending ---@type { client: vim.lsp.Client, id: integer? }?
local asked ---@type table? the place last asked for
local resting, rest_ms = vim.uv.new_timer(), REST_MS
local grown ---@type string? what was shown when the rest was asked for

local function same(one, other)
  return one ~= nil
    and other ~= nil
    and one.buf == other.buf
    and one.tick == other.tick
    and one.row == other.row
    and one.col == other.col
end

local function inserting()
  return api.nvim_get_mode().mode:sub(1, 1) == 'i'
end

local function hidden()
  return config.options.hide_with_menu and menu.visible()
end

local ask

--- Asks again while the user rests and the answer may still grow. text: what is shown now.
local function ask_rest(place, text)
  if not text or (text == grown and rest_ms >= LONGEST_REST_MS) then
    return
  end
  rest_ms = text == grown and 2 * rest_ms or REST_MS
  grown = text
  resting:start(
    rest_ms,
    0,
    vim.schedule_wrap(function()
      if not inserting() or not same(place, ghost.place()) then
        return
      elseif builtin.used() then
        builtin.ask(place.buf, AUTOMATIC)
      elseif not pending and ghost.text() == text then
        ask(AUTOMATIC)
      end
    end)
  )
end

--- After an answer to Neovim's own request: it shows it itself, from here on also what we have shown, unless it
--- replaces something.
local function builtin_answered(buf)
  ghost.clear()
  vim.schedule(function()
    if buf == api.nvim_get_current_buf() then
      local place = ghost.place()
      local item, client = builtin.take_replacing(place)
      if item and inserting() and not hidden() then
        ghost.show({ item }, client)
      end
      local text, drawn = builtin.text(buf)
      if drawn and inserting() then
        ghost.tell_shown(drawn, drawn.client_id)
      end
      ask_rest(place, ghost.text() or text)
    end
  end)
end

local function answered(place, client, result)
  if not result or not inserting() or hidden() or not same(place, ghost.place()) then
    return
  end
  local line = place.before .. place.after
  local items = {}
  for _, item in ipairs(result.items or result) do
    items[#items + 1] = suggestions.of(item, place.row, place.col, line, client.offset_encoding)
  end
  ghost.show(items, client.id)
  state.draw()
  ask_rest(place, ghost.text())
end

---@param kind integer
function ask(kind)
  local place = ghost.place()
  local client = clients.of(place.buf)
  if not client or not client.initialized then
    return
  end
  asked = place
  local request = { client = client }
  local position = vim.lsp.util.make_position_params(0, client.offset_encoding)
  local params = vim.tbl_extend('force', position, { context = { triggerKind = kind } })
  pending = request
  local sent, id = clients.call(client, 'request', METHOD, params, function(err, result)
    -- The server ends an older request itself when the text changes or a newer one comes.
    if pending == request then
      pending = nil
      if not err and result ~= vim.NIL then
        answered(place, client, result)
      end
    end
  end, place.buf)
  request.id = sent and id or nil
end

local function cancel()
  resting:stop()
  if pending and pending.id then
    clients.call(pending.client, 'cancel_request', pending.id)
  end
  pending = nil
end

--- Asks although nothing has moved since the last time.
local function ask_again()
  asked = nil
  if not builtin.used() then
    M.update()
  elseif inserting() then
    builtin.ask(api.nvim_get_current_buf(), AUTOMATIC)
  end
end

--- Brings the screen up to date and asks, if the text or the cursor has moved since the last time.
function M.update()
  local place = ghost.place()
  if not clients.of(place.buf) then
    return M.stop()
  end
  local shows = config.shows(place.buf) and not hidden()
  if builtin.enable(place.buf, shows) and shows then
    ask_again()
  end
  if not inserting() or not shows then
    return M.stop()
  end
  ghost.draw()
  if builtin.used() then
    builtin.drop_stale()
  elseif not same(asked, place) and vim.fn.reg_executing() == '' then
    resting:stop()
    ask(AUTOMATIC)
  end
end

--- Hides what is shown and forgets what was asked.
function M.stop()
  asked = nil
  cancel()
  ghost.clear()
end

-- What keys do; each returns whether it did something. ------------------------------------------------------

---@param part 'all'|'word'|'line'
function M.accept(part)
  if ghost.accept(part) then
    return true
  end
  return builtin.used() and builtin.accept(part)
end

---@param count integer
function M.select(count)
  return ghost.select(count) or builtin.used() and builtin.select(count)
end

function M.dismiss()
  local shown = ghost.text() ~= nil
  if shown then
    cancel()
    ghost.clear()
    asked = ghost.place() -- nothing new until the text changes
  end
  return shown or builtin.used() and builtin.dismiss()
end

function M.trigger()
  if clients.of(api.nvim_get_current_buf()) then
    cancel()
    ask(INVOKED)
  end
  return true
end

--- Takes note of a change of what is on and off.
function M.refresh()
  for _, client in ipairs(vim.lsp.get_clients({ name = clients.NAME })) do
    for buf in pairs(client.attached_buffers) do
      builtin.enable(buf, config.shows(buf))
    end
  end
  M.update()
end

--- Registers the events. Called once.
function M.start()
  local group = api.nvim_create_augroup('fimble', {})
  local function on(events, callback)
    api.nvim_create_autocmd(events, { group = group, callback = callback })
  end
  local function highlights()
    ghost.highlights()
    notice.highlights()
  end
  highlights()
  on('ColorScheme', highlights)
  on({ 'InsertEnter', 'CursorMovedI', 'TextChangedI', 'TextChangedP' }, M.update)
  on({ 'InsertLeave', 'BufLeave', 'WinLeave' }, M.stop)
  on({ 'WinScrolled', 'WinResized', 'VimResized' }, ghost.draw) -- there is room for more lines, or for fewer
  on('LspAttach', function(event)
    local client = vim.lsp.get_client_by_id(event.data.client_id)
    if client and client.name == clients.NAME then
      builtin.enable(event.buf, config.shows(event.buf))
      vim.schedule(M.update)
      vim.schedule(vim.cmd.redrawstatus)
    end
  end)
  on('LspDetach', function(event)
    builtin.forget(event.buf)
  end)
  on('LspProgress', function(event)
    local client = vim.lsp.get_client_by_id(event.data.client_id)
    if client and client.name == clients.NAME and state.progressed(event) then
      vim.schedule(ask_again) -- the model is there: what was asked while it was loading is asked again
    end
  end)
  on('LspRequest', function(event)
    local request = event.data.request
    if builtin.used() and request.method == METHOD and request.type == 'complete' then
      builtin_answered(event.buf)
    end
  end)
  menu.watch(group, M.update)
end

return M

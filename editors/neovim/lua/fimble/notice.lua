--- What fimble says without asking for a key: a line in the corner while something goes on, and messages.
---
--- Neovim asks for Enter after a message of more than one row, and takes the next key typed for that. So such a
--- message is shown in a window in the corner, which goes by itself.

local M = {}

local api = vim.api
local MOST_KEPT = 50
local WIDEST = 64
local SHORTEST_MS, LONGEST_MS, CHARACTER_MS = 4000, 20000, 60
-- Two messages in a row would ask for Enter, too.
local APART_MS = 1000

---@class fimble.Panel
---@field buf? integer
---@field win? integer
---@field rows integer how many it takes

local line = { rows = 0 } ---@type fimble.Panel
local box = { rows = 0 } ---@type fimble.Panel
local kept = {} ---@type string[]
local hiding = vim.uv.new_timer()
local echoed = -APART_MS

--- Where the corner is: below it are the status line and the command line.
local function bottom()
  local status = vim.o.laststatus
  local shown = status > 1 or (status == 1 and #api.nvim_tabpage_list_wins(0) > 1)
  return vim.o.lines - vim.o.cmdheight - (shown and 1 or 0)
end

---@param panel fimble.Panel
local function hide(panel)
  if panel.win and api.nvim_win_is_valid(panel.win) then
    pcall(api.nvim_win_close, panel.win, true)
  end
  panel.win, panel.rows = nil, 0
end

--- Shows lines in a window in the corner, which cannot be gone into. False if no window can be opened now.
---@param panel fimble.Panel
---@param lines string[]
---@param group string
---@param up integer rows above the corner
---@param border? string
---@return boolean
local function show(panel, lines, group, up, border)
  local width = 1
  for _, text in ipairs(lines) do
    width = math.max(width, api.nvim_strwidth(text))
  end
  if not panel.buf or not api.nvim_buf_is_valid(panel.buf) then
    panel.buf = api.nvim_create_buf(false, true)
  end
  api.nvim_buf_set_lines(panel.buf, 0, -1, false, lines)
  local place = {
    relative = 'editor',
    anchor = 'SE',
    row = bottom() - up,
    col = vim.o.columns,
    width = math.min(width, math.max(1, vim.o.columns - 2)),
    height = math.max(1, math.min(#lines, vim.o.lines - 4)),
    style = 'minimal',
    focusable = false,
    zindex = 60,
    border = border or 'none',
  }
  local ok
  if panel.win and api.nvim_win_is_valid(panel.win) and api.nvim_win_get_tabpage(panel.win) == api.nvim_get_current_tabpage() then
    ok = pcall(api.nvim_win_set_config, panel.win, place)
  else
    hide(panel)
    ok, panel.win = pcall(api.nvim_open_win, panel.buf, false, vim.tbl_extend('error', place, { noautocmd = true }))
    panel.win = ok and panel.win or nil
  end
  if ok then
    vim.wo[panel.win].winhighlight = ('NormalFloat:%s,FloatBorder:%s'):format(group, group)
    panel.rows = place.height + (border and 2 or 0)
  end
  return ok
end

--- One line in the corner; nil takes it away.
---@param text string?
function M.line(text)
  if not text then
    return hide(line)
  end
  local widest = math.max(10, math.min(WIDEST, vim.o.columns - 4))
  text = text:gsub('%c', ' ')
  if api.nvim_strwidth(text) > widest then
    text = vim.fn.strcharpart(text, 0, widest - 1) .. '…'
  end
  show(line, { ' ' .. text .. ' ' }, 'FimbleProgress', 0)
end

--- A text in lines that are not too wide, broken between words.
---@param text string
---@param widest integer
---@return string[]
local function wrapped(text, widest)
  local lines = {}
  for _, paragraph in ipairs(vim.split(text, '\r?\n')) do
    local current = ''
    for word in paragraph:gmatch('%S+') do
      if current ~= '' and api.nvim_strwidth(current .. ' ' .. word) > widest then
        lines[#lines + 1] = current
        current = ''
      end
      current = current == '' and word or current .. ' ' .. word
      while api.nvim_strwidth(current) > widest do
        lines[#lines + 1] = vim.fn.strcharpart(current, 0, widest)
        current = vim.fn.strcharpart(current, widest)
      end
    end
    lines[#lines + 1] = current
  end
  return lines
end

local function fits(message)
  local one = not message:find('\n') and vim.o.cmdheight > 0
  return one and api.nvim_strwidth(message) <= vim.v.echospace and vim.uv.now() - echoed > APART_MS
end

--- Whether a plug-in shows messages in its own way. The source of Neovim's own function is `?` where its Lua was compiled
--- without debug information, as in Debian's 0.12.
local function is_replaced()
  local source = debug.getinfo(vim.notify, 'S').source
  return not (source:find('^@vim/') or source:find('^=?%?$'))
end

local function say(message, level)
  if is_replaced() then
    return vim.notify(message, level)
  elseif fits(message) then
    echoed = vim.uv.now()
    return vim.notify(message, level)
  end
  local groups = { [vim.log.levels.ERROR] = 'DiagnosticError', [vim.log.levels.WARN] = 'DiagnosticWarn' }
  local lines = wrapped(message, math.max(10, math.min(WIDEST, vim.o.columns - 4)))
  if not show(box, lines, groups[level] or 'NormalFloat', line.rows, 'rounded') then
    return vim.notify(message, level)
  end
  local ms = math.max(SHORTEST_MS, math.min(LONGEST_MS, CHARACTER_MS * #message))
  hiding:start(ms, 0, vim.schedule_wrap(function()
    hide(box)
  end))
end

--- Says something to the user: in the command line where it has room there, else in a window in the corner.
---@param message string
---@param level? integer
function M.say(message, level)
  message = 'fimble: ' .. message:gsub('^fimble: ', '')
  kept[#kept + 1] = message
  if #kept > MOST_KEPT then
    table.remove(kept, 1)
  end
  if vim.v.vim_did_enter == 1 then
    return say(message, level or vim.log.levels.INFO)
  end
  api.nvim_create_autocmd('VimEnter', {
    once = true,
    callback = vim.schedule_wrap(function()
      say(message, level or vim.log.levels.INFO)
    end),
  })
end

--- What has been said, the newest last.
---@return string[]
function M.all()
  return vim.list_extend({}, kept)
end

local LEVELS = { vim.log.levels.ERROR, vim.log.levels.WARN, vim.log.levels.INFO, vim.log.levels.INFO }

--- Handles `window/showMessage`.
---@param params lsp.ShowMessageParams
function M.show_message(_, params)
  M.say(params.message, LEVELS[params.type])
  return params
end

--- The colours; a colour scheme may set them.
function M.highlights()
  api.nvim_set_hl(0, 'FimbleProgress', { link = 'Comment', default = true })
end

return M

--- Floating windows: explanations that the server shows, and answers of the :Fimble command.

local M = {}

-- How many columns a window has at most.
M.WIDTH = 90

--- Shows a text in a floating window beside the cursor; `q` closes it.
---@param lines string[]
---@param focus boolean whether to go into it, so that one can scroll
---@param kind? 'markdown'|'text' of which Markdown is the usual one; in that, brackets and stars are not shown
---@return integer window
function M.open(lines, focus, kind)
  local width = math.max(20, math.min(M.WIDTH, vim.o.columns - 4))
  local height = math.max(3, math.floor(vim.o.lines * 0.6))
  local _, window = vim.lsp.util.open_floating_preview(lines, kind == 'text' and '' or 'markdown', {
    border = 'rounded',
    wrap = true,
    max_width = width,
    max_height = height,
    focus_id = 'fimble',
    focus = false, -- a second one takes the place of the first
    close_events = focus and {} or nil,
  })
  if focus and vim.api.nvim_get_mode().mode:sub(1, 1) ~= 'i' then
    vim.api.nvim_set_current_win(window)
    vim.api.nvim_create_autocmd('WinLeave', {
      buffer = vim.api.nvim_win_get_buf(window),
      once = true,
      callback = function()
        vim.schedule(function()
          if vim.api.nvim_win_is_valid(window) then
            vim.api.nvim_win_close(window, true)
          end
        end)
      end,
    })
  end
  return window
end

local function in_a_root(path, client)
  for _, folder in ipairs(client.workspace_folders or {}) do
    if vim.startswith(path, vim.uri_to_fname(folder.uri) .. '/') then
      return true
    end
  end
  return false
end

local function read(path)
  local file = io.open(path, 'r')
  local text = file and file:read('*a')
  if file then
    file:close()
  end
  return text
end

local function show(text, params)
  M.open(vim.split(vim.trim(text), '\r?\n'), params.takeFocus ~= false)
end

--- Handles `window/showDocument`: Markdown that is no file of the project is an explanation and floats; the rest
--- is Neovim's business. A document that is not a file is asked for by `workspace/textDocumentContent`.
---@param err lsp.ResponseError?
---@param params lsp.ShowDocumentParams
---@param ctx lsp.HandlerContext
function M.show_document(err, params, ctx)
  local client = vim.lsp.get_client_by_id(ctx.client_id)
  local markdown = params.uri:match('%.md$') or params.uri:match('%.markdown$')
  if params.external or not client or not markdown then
    return vim.lsp.handlers['window/showDocument'](err, params, ctx)
  end
  if not vim.startswith(params.uri, 'file:') then
    require('fimble.client').call(
      client,
      'request',
      'workspace/textDocumentContent',
      { uri = params.uri },
      function(_, result)
        if result and result ~= vim.NIL and result.text then
          show(result.text, params)
        end
      end
    )
    return { success = true }
  end
  local path = vim.uri_to_fname(params.uri)
  local text = not in_a_root(path, client) and read(path)
  if not text then
    return vim.lsp.handlers['window/showDocument'](err, params, ctx)
  end
  show(text, params)
  return { success = true }
end

return M

---@brief
---
--- REPOSITORY
---
--- Inline completions and code actions by a GGUF model in the server's own process. It installs with
--- `pip install fimble`, and `fimble models pull starter` fetches a model.
---
--- Neovim 0.12 shows inline completions with `vim.lsp.inline_completion.enable()`. There are no file types here, since
--- any text is completed; `disabled_languages` among the settings names those that are not. One server serves all
--- projects, since each holds a model.

local markers = { 'fimble.toml', '.git' }

---@type vim.lsp.Config
return {
  cmd = { 'fimble', 'serve' },
  -- Files, and no empty buffer that Neovim begins with.
  root_dir = function(buf, on_dir)
    local name = vim.api.nvim_buf_get_name(buf)
    if name ~= '' and vim.bo[buf].buftype == '' then
      on_dir(vim.fs.root(buf, markers) or vim.fs.dirname(name))
    end
  end,
  reuse_client = function(client, config)
    if client.name ~= config.name or client:is_stopped() then
      return false
    end
    local folder = { uri = vim.uri_from_fname(config.root_dir), name = config.root_dir }
    local folders = client.workspace_folders or {}
    for _, each in ipairs(folders) do
      if each.uri == folder.uri then
        return true
      end
    end
    client.workspace_folders = vim.list_extend(folders, { folder })
    client:notify('workspace/didChangeWorkspaceFolders', { event = { added = { folder }, removed = {} } })
    return true
  end,
  settings = { fimble = {} },
}

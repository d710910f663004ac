"""What runs inside the sandbox: it loads a task's module, calls the task, and responds. Standard library only.

Never imported by the runner, only named (`runner.guest.main:main`).
"""

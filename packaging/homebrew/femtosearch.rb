# For a tap: cp packaging/homebrew/femtosearch.rb "$(brew --repository USER/tap)/Formula"; `brew style` and `brew audit` were not
# run where it was written, nor was it built. The digest is that of the sdist on PyPI: `brew fetch` says it once that is there.
class Femtosearch < Formula
  include Language::Python::Virtualenv

  desc "Late-interaction search with a one-megabyte model"
  homepage "https://pypi.org/project/femtosearch/"
  url "https://files.pythonhosted.org/packages/source/f/femtosearch/femtosearch-0.2.0.tar.gz"
  license "Apache-2.0"

  depends_on "cmake" => :build
  depends_on "ninja" => :build
  depends_on "numpy"
  depends_on "python@3.13"

  def install
    venv = virtualenv_create(libexec, "python3.13", system_site_packages: true)
    venv.pip_install_and_link buildpath
    man1.install "packaging/femtosearch.1"
    generate_completions_from_executable(bin/"femtosearch", "completion")
  end

  test do
    (testpath/"notes/pets.md").write "A small cat slept.\n"
    (testpath/"notes/markets.md").write "Stock markets fell.\n"
    system bin/"femtosearch", "index", "index", "notes"
    assert_match "pets.md", shell_output("#{bin}/femtosearch search index kitten -k 1")
  end
end
